"""The array module that layers compute with, and moving arrays to and from NumPy.

Everything outside this file asks here for `xp`; nothing else may import a device library.
"""

import numpy

from .errors import BackendError

_mode = "cpu"


def xp():
    """The array module of the current mode (numpy)."""
    return numpy


def to_numpy(array):
    """`array` as a NumPy array, copied from the device if it lives there."""
    return numpy.asarray(array)


def mode():
    """The current mode, "cpu"."""
    return _mode


def set_mode_cpu():
    """Compute with NumPy (pycaffe's name)."""
    global _mode
    _mode = "cpu"


def set_mode_gpu():
    """pycaffe's name. Raises BackendError: this version computes on the CPU only."""
    raise BackendError("this version of minicaffe has no GPU back end: use solver_mode: CPU or "
                       "--gpu cpu")


def choose(device, solver_param=None):
    """The command line's --gpu: "cpu", or the number of a GPU; goes before the solver's own mode."""
    if device == "cpu":
        set_mode_cpu()
        if solver_param is not None:
            solver_param.solver_mode = solver_param.CPU
    elif device.isdigit():
        set_device(int(device))
    else:
        raise BackendError(f"--gpu {device}: must be the number of a GPU, or cpu")


def set_device(device_id):
    """Choose the GPU (pycaffe's name). Raises BackendError, as set_mode_gpu does."""
    set_mode_gpu()
