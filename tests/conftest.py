"""Fixtures that every test may take."""

import contextlib
import os

# The matrices here are small: beside other work, OpenBLAS's threads wait for each other longer
# than they compute. It reads this as NumPy is imported; so do the tools that tests start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import mirrors
import numpy
import pytest
from stand_in import kernels, modules

from minicaffe import backend

BACK_ENDS = "numpy", "stand-in", "cupy"
_compiled = {}               # (back end, name of a text) -> its compiled functions


@contextlib.contextmanager
def _cupy_or_skip(name):
    """What `import cupy` gives inside: the stand-in, or the package itself where a device is."""
    if name == "stand-in":
        if kernels.compiler() is None:
            pytest.skip("no g++, which the stand-in for the GPU needs")
        with modules.installed():
            yield
        return
    try:
        import cupy
    except ImportError:
        pytest.skip("CuPy is not installed")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no GPU: {error}")
    if not count:
        pytest.skip("no GPU")
    yield


@contextlib.contextmanager
def back_end(name):
    """Compute on "numpy", "stand-in" or "cupy" within the block; gives the array module."""
    if name == "numpy":
        yield numpy
        return
    saved = {key: getattr(backend, key) for key in ("_mode", "_device", "_cupy", "_products")}
    functions = {text: text._functions for text in backend.kernel_texts.values()}
    with _cupy_or_skip(name):
        backend._cupy = backend._products = None
        for text in functions:
            text._functions = _compiled.setdefault((name, text.name), {})
        try:
            backend.set_mode_gpu()
            yield backend.xp()
        finally:
            for key, value in saved.items():
                setattr(backend, key, value)
            for text, own in functions.items():
                text._functions = own


@pytest.fixture(params=BACK_ENDS)
def xp(request):
    """The array module that layers compute with; a test that takes it runs on every back end."""
    with back_end(request.param) as module:
        yield module


@pytest.fixture
def blobs_on_the_host(xp):
    """Let the test read and write blobs of any back end as NumPy arrays."""
    if xp is numpy:
        yield
        return
    with mirrors.for_tests():
        yield
