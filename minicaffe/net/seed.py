"""Random seeds: every layer has a generator of its own, from the net's seed, its name and phase."""

import zlib

import numpy as np

_default = None


def set_random_seed(seed):
    """Seed of all nets built from now on that get none of their own (pycaffe's function)."""
    global _default
    _default = int(seed)


def default_seed():
    """The seed set by set_random_seed, or a fresh one from the operating system."""
    if _default is not None:
        return _default
    return int(np.random.SeedSequence().entropy % (1 << 63))


def layer_rng(seed, name, phase):
    """The Generator of a layer: adding or removing other layers leaves its numbers as they are."""
    key = (zlib.crc32(name.encode()), phase)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
