// CUDA's words for g++: a kernel runs as a plain function, one thread after the other, in an order
// that no kernel may depend on. Where threads of a block wait for each other, each is a fibre.
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <math.h>
#undef INFINITY
#undef NAN

struct Dim3 { unsigned x, y, z; };
static Dim3 threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__ static
#define __constant__ static const
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("block_shared")))
static char _first_shared __attribute__((section("block_shared"), used));
extern "C" char __start_block_shared[], __stop_block_shared[];

template <class T> static inline T max(T a, T b) { return a < b ? b : a; }
template <class T> static inline T min(T a, T b) { return b < a ? b : a; }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline float min(float a, float b) { return fminf(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, float b) { return fmax(a, b); }
static inline double min(double a, float b) { return fmin(a, b); }
static inline double max(float a, double b) { return fmax(a, b); }
static inline double min(float a, double b) { return fmin(a, b); }
static inline long long max(int a, long long b) { return a < b ? b : a; }
static inline long long min(int a, long long b) { return b < a ? b : a; }
static inline long long max(long long a, int b) { return a < b ? b : a; }
static inline long long min(long long a, int b) { return b < a ? b : a; }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline double rsqrt(double x) { return 1 / sqrt(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{ return (unsigned __int128)a * b >> 64; }
static inline float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
static inline int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }
static inline double __longlong_as_double(long long x) { double y; memcpy(&y, &x, 8); return y; }
static inline long long __double_as_longlong(double x) { long long y; memcpy(&y, &x, 8); return y; }
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T, class U> static inline T atomicAdd(T* p, U v) { T old = *p; *p += v; return old; }
template <class T, class U> static inline T atomicOr(T* p, U v) { T old = *p; *p |= v; return old; }
template <class T, class U> static inline T atomicExch(T* p, U v) { T old = *p; *p = v; return old; }
template <class T, class U> static inline T atomicMax(T* p, U v)
{ T old = *p; if ((T)v > old) *p = v; return old; }
template <class T, class U> static inline T atomicMin(T* p, U v)
{ T old = *p; if ((T)v < old) *p = v; return old; }
template <class T, class U, class V> static inline T atomicCAS(T* p, U compare, V v)
{ T old = *p; if (old == (T)compare) *p = v; return old; }

static const char* _problem;                 // what the last launch did wrong
static void (*_body)();                      // the kernel with its arguments, for one thread
static void** _arguments;

#ifndef WITH_FIBRES
static void _give_up() {}
static void _run_block(const unsigned* order, unsigned n) {
    for (unsigned k = 0; k < n; ++k) { threadIdx.x = order[k]; _body(); }
}
#else
static const size_t _STACK = 1 << 16;
static const unsigned _MOST = 1024;
enum { NONE, WAITING, DONE };                // of a fibre; one that is done takes the next block
static char* _stacks;
static jmp_buf _fibre[_MOST], _scheduler;
static int _state[_MOST];
static unsigned _running, _waits;

static void _leave(int state) {
    unsigned me = _running;
    _state[me] = state;
    if (!_setjmp(_fibre[me])) _longjmp(_scheduler, 1);
    threadIdx.x = me;
}

static void __syncthreads() { ++_waits; _leave(WAITING); }

static void _live() { for (;;) { _body(); _leave(DONE); } }

static void _make_fibre(unsigned t) {
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = _stacks + _STACK * t;
    context.uc_stack.ss_size = _STACK;
    context.uc_link = 0;
    makecontext(&context, _live, 0);
    setcontext(&context);
}

static void _give_up() { memset(_state, 0, sizeof _state); }

static void _run_block(const unsigned* order, unsigned n) {
    if (!_stacks) _stacks = (char*)malloc(_STACK * _MOST);
    volatile bool begins = true;
    for (volatile unsigned done = 0; done < n; begins = false) {
        _waits = 0;
        for (volatile unsigned k = 0; k < n; ++k) {
            unsigned t = order[k];
            if (_state[t] == DONE && !begins) continue;
            _running = threadIdx.x = t;
            if (_setjmp(_scheduler)) { if (_state[_running] == DONE) done = done + 1; continue; }
            if (_state[t] == NONE) _make_fibre(t);
            _longjmp(_fibre[t], 1);
        }
        if (_waits && done) {
            _problem = "some threads of a block wait in __syncthreads that others never reach";
            break;
        }
    }
    if (_problem) _give_up();
}
#endif

static sigjmp_buf _before;
static void _on_signal(int number) { siglongjmp(_before, number); }

// Runs `work`; an access to memory that isn't there is a problem to report, not the process's end.
static void _guarded(void (*work)()) {
    static char stack[1 << 16];
    stack_t own = {}, before;
    own.ss_sp = stack;
    own.ss_size = sizeof stack;
    sigaltstack(&own, &before);
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
    struct sigaction action = {}, old[3];
    action.sa_handler = _on_signal;
    action.sa_flags = SA_ONSTACK;
    for (int i = 0; i < 3; ++i) sigaction(signals[i], &action, &old[i]);
    int number = sigsetjmp(_before, 1);
    if (!number) work();
    else {
        _problem = number == SIGFPE ? "an integer is divided by zero"
                                    : "an address outside all memory is read or written";
        _give_up();
    }
    for (int i = 0; i < 3; ++i) sigaction(signals[i], &old[i], 0);
    sigaltstack(&before, 0);
}

static unsigned _step;

// All blocks and threads; _step is prime to both numbers: i * _step goes through them in disorder.
static void _run_grid() {
    unsigned order[1024], threads = blockDim.x, blocks = gridDim.x;
    for (unsigned k = 0; k < threads; ++k) order[k] = (unsigned long long)k * _step % threads;
    for (unsigned k = 0; k < blocks && !_problem; ++k) {
        blockIdx = Dim3{(unsigned)((unsigned long long)k * _step % blocks), 0, 0};
        memset(__start_block_shared, 0xFF, __stop_block_shared - __start_block_shared);
        _run_block(order, threads);
    }
}

static const char* _launch(void (*body)(), unsigned blocks, unsigned threads, unsigned step) {
    _body = body;
    _problem = 0;
    _step = step;
    gridDim = Dim3{blocks, 1, 1};
    blockDim = Dim3{threads, 1, 1};
    threadIdx = Dim3{0, 0, 0};
    _guarded(_run_grid);
    return _problem;
}
