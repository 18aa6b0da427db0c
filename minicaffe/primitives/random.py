"""Random numbers drawn inside kernels: number i of pass k is a function of a key, k and i alone.

Philox4x32-10 turns a counter of four 32-bit words into four random ones, for a key of two words
(Salmon, Moraes, Dror and Shaw, SC 2011). A kernel's threads need no state of their own, a pass can
be drawn anew for the gradient instead of being kept, and the number of passes, on the device,
is all that goes on: a captured graph draws other numbers in each replay.

The state is (4,) uint32: the key's two words, the number of passes begun, and how many blocks of
the current pass have read it (0 between passes).
"""

import numpy as np

# philox(key0, key1, i, k): words 0 to 3 for counter (i, k), where i takes two words.
# begin_pass(state): the number of this pass, handed to all threads of a block; every block of a
# launch must call it once, and no launch of the same state may run beside it.
PHILOX_TEXT = """
struct Words { unsigned word[4]; };

__device__ Words philox(unsigned key0, unsigned key1, unsigned long long i, unsigned k)
{
    Words c = {{(unsigned)i, (unsigned)(i >> 32), k, 0}};
    for (int round = 0; round < 10; ++round) {
        const unsigned high0 = __umulhi(0xD2511F53u, c.word[0]), low0 = 0xD2511F53u * c.word[0];
        const unsigned high1 = __umulhi(0xCD9E8D57u, c.word[2]), low1 = 0xCD9E8D57u * c.word[2];
        c = Words{{high1 ^ c.word[1] ^ key0, low1, high0 ^ c.word[3] ^ key1, low0}};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return c;
}

__device__ unsigned begin_pass(unsigned* state)
{
    __shared__ unsigned pass;
    if (threadIdx.x == 0)
        pass = state[2];
    __syncthreads();
    // The block that is the last to have read the number writes the next one.
    if (threadIdx.x == 0 && atomicAdd(&state[3], 1u) == gridDim.x - 1) {
        state[2] = pass + 1;
        state[3] = 0;
    }
    return pass;
}
"""


def start(rng):
    """A state at its first pass, as a NumPy array, its key drawn from the generator `rng`."""
    return np.append(rng.integers(2**32, size=2, dtype=np.uint32), np.zeros(2, np.uint32))
