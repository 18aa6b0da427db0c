"""What the stand-in for CuPy allows, CuPy has: run where the package itself can be imported."""

import inspect
import re

import pytest
from stand_in import arrays, blas, modules, runtime

try:
    import cupy
except ImportError:
    pytest.skip("CuPy is not installed", allow_module_level=True)

STAND_IN = modules.build()
OURS_ONLY = {"__module__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__",
             "__static_attributes__"}


def parameters(function):
    """Names of a function's parameters, without those that take any number."""
    return [name for name, p in inspect.signature(function).parameters.items()
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def documented(method):
    """Names of the parameters in the first line of a compiled method's documentation."""
    line = (method.__doc__ or "").strip().split("\n")[0]
    inside = re.search(r"\((.*)\)", line)
    return [re.split(r"[=:]", part)[0].split()[-1].lstrip("*") for part in inside.group(1).split(",")
            if part.strip() not in ("", "self", "/", "*")] if inside else None


@pytest.mark.parametrize("name", modules.UFUNCS)
def test_universal_functions(name):
    real, ours = getattr(cupy, name), getattr(STAND_IN["cupy"], name)
    assert isinstance(real, cupy.ufunc) and (real.nin, real.nout) == (ours.nin, ours.nout)


@pytest.mark.parametrize("name", modules.FUNCTIONS)
def test_functions_and_their_keywords(name):
    wanted = modules.FUNCTIONS[name].split()
    if name in ("matmul", "einsum"):                     # their signatures say *args
        assert callable(getattr(cupy, name))
        return
    real = parameters(getattr(cupy, name))
    assert wanted == real[:len(wanted)] or name == "einsum"


@pytest.mark.parametrize("function", modules.CREATION, ids=lambda function: function.__name__)
def test_functions_that_make_arrays(function):
    assert parameters(function) == parameters(getattr(cupy, function.__name__))


@pytest.mark.parametrize("name", modules.CONSTANTS)
def test_constants(name):
    assert hasattr(cupy, name)


@pytest.mark.parametrize("name", sorted(set(vars(arrays.ndarray)) - OURS_ONLY))
def test_methods_of_arrays(name):
    if name.startswith("_") and not name.startswith("__"):
        return
    real, ours = getattr(cupy.ndarray, name), getattr(arrays.ndarray, name)
    if not name.startswith("__") and inspect.isfunction(ours):
        known = documented(real)
        assert known is None or set(parameters(ours)) - {"self"} <= set(known), known


def test_arrays_can_not_be_indices_of_python():
    assert not hasattr(cupy.ndarray, "__index__") and not hasattr(arrays.ndarray, "__index__")


@pytest.mark.parametrize("name", sorted(n for n in vars(STAND_IN["cupy"].cuda) if n[0] != "_"))
def test_cuda(name):
    real, ours = getattr(cupy.cuda, name), getattr(STAND_IN["cupy"].cuda, name)
    if inspect.isclass(ours):
        for member in vars(ours):
            assert member[0] == "_" or member == "ptr" or hasattr(real, member), member
    elif not inspect.isfunction(ours):
        for member in vars(ours):
            assert hasattr(real, member), member


@pytest.mark.parametrize("ours, path", [
    (runtime.CUDARuntimeError, "runtime.CUDARuntimeError"),
    (runtime.CUDADriverError, "driver.CUDADriverError"),
    (runtime.OutOfMemoryError, "memory.OutOfMemoryError")])
def test_errors_have_the_same_bases(ours, path):
    real = cupy.cuda
    for part in path.split("."):
        real = getattr(real, part)
    assert {base.__name__ for base in ours.__mro__[1:]} == {b.__name__ for b in real.__mro__[1:]}


def test_cublas():
    from cupy_backends.cuda.libs import cublas

    for name, ours in vars(blas.module()).items():
        if name[0] == "_" or name in ("CUBLAS_COMPUTE_32F", "CUBLAS_COMPUTE_64F"):
            continue
        real = getattr(cublas, name)
        if isinstance(ours, int):
            assert real == ours, name
        elif inspect.isfunction(ours):
            assert parameters(ours) == documented(real), name


@pytest.mark.parametrize("name", modules.SPECIAL)
def test_special_functions(name):
    from cupyx.scipy import special

    assert hasattr(special, name)


def test_other_places():
    import cupyx
    import cupyx.scipy.sparse

    assert callable(cupyx.scatter_add) and callable(cupyx.empty_pinned)
    assert callable(cupyx.scipy.sparse.csr_matrix) and callable(cupy.linalg.svd)
