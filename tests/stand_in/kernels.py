"""cupy.RawModule's stand-in: the text goes through g++ and runs on the CPU, thread by thread.

What a GPU would take in silence is refused: a wrong number of arguments, an int where the kernel
reads a double, an array of another type or not contiguous, writes beyond an array's end, threads
that miss a __syncthreads.
"""

import ctypes
import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

import numpy as np

from .arrays import address, ndarray
from .state import launch

_HEADER = pathlib.Path(__file__).with_name("cuda_on_cpu.h")
_STEP = 1000003                        # prime: threads run in an order of their own
# each operation rounds once; a kernel that is named like a function of libc is the kernel
_COMMAND = ("g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-w", "-ffp-contract=off",
            "-Wl,-Bsymbolic", "-o")
_lock = threading.Lock()
_POINTERS = {"float": "f", "double": "d", "int": "i", "unsigned": "I", "unsigned int": "I",
             "unsigned char": "B?", "char": "b", "signed char": "b", "bool": "?", "long long": "lq",
             "unsigned long long": "LQ", "Wide": "lq", "short": "h"}
_WHOLE = {"Index": (np.int32, ctypes.c_int), "Wide": (np.int64, ctypes.c_longlong)}
# what nvcc knows and NVRTC, which CuPy compiles with, doesn't
_NOT_IN_NVRTC = re.compile(r"#\s*include|\bstd::|\bu?int(?:8|16|32|64)_t\b|\bINFINITY\b|\bNAN\b"
                           r"|\b(?:FLT|DBL|INT|UINT|LLONG|LONG|M)_(?:MAX|MIN|EPSILON|PI)\b")


class CompileException(Exception):
    """As cupy.cuda.compiler.CompileException."""


def compiler():
    """The path of g++, or None."""
    return shutil.which("g++")


class Parameter:
    """One parameter of a kernel: its name, and what Python value goes there."""

    def __init__(self, text, real):
        match = re.fullmatch(r"(?:const\s+)?([\w ]+?)\s*(?:const\s*)?(\*?)\s*(?:__restrict__)?\s*"
                             r"(\w+)", text.strip())
        if match is None:
            raise CompileException(f"the parameter '{text}' is not of a known form")
        kind, self.pointer, self.name = match.groups()
        self.kind = real if kind == "Real" else kind
        self.const = text.strip().startswith("const")
        if not (self.kind in _POINTERS if self.pointer else self.kind in ("Index", "Wide", "double")):
            raise CompileException(f"the parameter '{text}' must be Index, Wide, double or a pointer")

    def convert(self, value):
        """(ctypes value, what must be kept alive) for a Python value. Raises TypeError."""
        if self.pointer:
            return self._address(value)
        if self.kind in _WHOLE:
            wanted, kind = _WHOLE[self.kind]
            if type(value) is not wanted:
                raise TypeError(f"{self.name}: {wanted} is wanted, not {value!r} ({type(value)})")
            return kind(int(value))
        if not isinstance(value, float):
            raise TypeError(f"{self.name}: a float is wanted, not {value!r} ({type(value)})")
        return ctypes.c_double(value)

    def _address(self, value):
        if not isinstance(value, ndarray):      # nor None, of which CuPy makes no null pointer
            raise TypeError(f"{self.name}: an array of the device is wanted, not {type(value)}")
        if value.dtype.char not in _POINTERS[self.kind]:
            raise TypeError(f"{self.name}: {self.kind}* is wanted, not an array of {value.dtype}")
        if not value.flags.c_contiguous and not self.name.endswith("_view"):
            raise TypeError(f"{self.name}: the array is not contiguous")
        return ctypes.c_void_p(address(value._host))


class Function:
    """One kernel: function((blocks,), (threads,), arguments)."""

    def __init__(self, library, name, parameters, real):
        self.name = name
        self.parameters = [Parameter(p, real) for p in parameters.split(",") if p.strip()]
        self._run = getattr(library, f"run_{name}")
        self._run.restype = ctypes.c_char_p

    def __call__(self, grid, block, args, *, shared_mem=0):
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments, not {len(args)}")
        if len(grid) != 1 or len(block) != 1 or shared_mem or not 0 < block[0] <= 1024:
            raise ValueError(f"{self.name}: grid {grid}, block {block}, shared memory {shared_mem}")
        if not 0 < grid[0] < 2**31:
            raise ValueError(f"{self.name}: {grid[0]} blocks")
        try:
            values = [p.convert(a) for p, a in zip(self.parameters, args)]
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None
        launch(lambda: self._execute(grid[0], block[0], values, args))

    def _execute(self, blocks, threads, values, args):
        pointers = (ctypes.c_void_p * max(1, len(values)))(*map(ctypes.addressof, values))
        with _lock:
            problem = self._run(pointers, blocks, threads, _STEP)
        if problem:
            raise RuntimeError(f"{self.name}: {problem.decode()}")
        for a in args:
            if isinstance(a, ndarray):
                a._memory.check(self.name)


class RawModule:
    """cupy.RawModule(code=text, options=...)."""

    def __init__(self, code=None, *, path=None, options=(), backend="nvrtc",
                 translate_cucomplex=False, enable_cooperative_groups=False, name_expressions=None,
                 jitify=None):
        self.code = code
        self._library = _load(code)
        self._signatures = signatures(code)

    def get_function(self, name):
        real = re.search(r"#define Real (\w+)", self.code)
        if name not in self._signatures:
            raise ValueError(f"CUDA_ERROR_NOT_FOUND: named symbol not found ({name})")
        return Function(self._library, name, self._signatures[name], real and real.group(1))


def RawKernel(code, name, options=(), **more):
    """cupy.RawKernel(text, name)."""
    return RawModule(code=code, options=options).get_function(name)


def signatures(code):
    """{name: the text between its parentheses} of the kernels of a text."""
    plain = _without_comments(code)
    found = dict(re.findall(r"__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*"
                            r"\(([^)]*)\)", plain))
    return {name: " ".join(parameters.split()) for name, parameters in found.items()}


def check_words(code):
    """Raise CompileException for a word that CuPy's compiler would not know."""
    foreign = _NOT_IN_NVRTC.search(_without_comments(code))
    if foreign:
        raise CompileException(f'identifier "{foreign.group()}" is undefined')


def _without_comments(code):
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", code, flags=re.DOTALL)


@functools.cache
def _load(code):
    """The shared library of a text, compiled once and kept for the next run of the tests."""
    check_words(code)
    source = _HEADER.read_text() + code + "".join(_runner(*item) for item in signatures(code).items())
    if "__syncthreads" in code:
        source = "#define WITH_FIBRES\n" + source
    folder = pathlib.Path(tempfile.gettempdir()) / f"minicaffe-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    key = hashlib.sha256(" ".join((*_COMMAND, source)).encode()).hexdigest()[:24]
    target = folder / f"{key}.so"
    if not target.exists():
        _compile(source, target)
    return ctypes.CDLL(str(target))


def _runner(name, parameters):
    """The C function run_NAME(arguments, blocks, threads, step)."""
    texts = [p for p in parameters.split(",") if p.strip()]
    types = [re.sub(r"(__restrict__)?\s*\w+\s*$", "", p.strip()) for p in texts]
    call = ", ".join(f"*({kind}*)_arguments[{i}]" for i, kind in enumerate(types))
    return f"""
static void _call_{name}() {{ {name}({call}); }}
extern "C" const char* run_{name}(void** a, unsigned blocks, unsigned threads, unsigned step) {{
    _arguments = a;
    return _launch(_call_{name}, blocks, threads, step);
}}
"""


def _compile(source, target):
    text = target.with_suffix(f".{os.getpid()}.cpp")
    library = text.with_suffix(".so")
    text.write_text(source)
    try:
        result = subprocess.run([*_COMMAND, library, text], capture_output=True, text=True)
        if result.returncode:
            raise CompileException(result.stderr)
        os.replace(library, target)
    finally:
        text.unlink()
