import ast
import os
import pathlib
import subprocess
import sys
import types

import mirrors
import numpy as np
import pytest
from stand_in import blas, kernels, modules, runtime

import minicaffe as caffe
from minicaffe import backend
from minicaffe.errors import BackendError
from minicaffe.proto import caffe_pb2

PACKAGE = pathlib.Path(caffe.__file__).parent
ASK = [caffe.set_mode_gpu, lambda: caffe.set_device(0), lambda: backend.choose("0")]


@pytest.fixture(autouse=True)
def back_to_the_cpu(monkeypatch):
    """Each test begins with no CuPy loaded; what it changes is put back."""
    for name, value in {"_mode": "cpu", "_device": 0, "_cupy": None, "_products": None}.items():
        monkeypatch.setattr(backend, name, value)


@pytest.fixture
def cupy():
    with modules.installed() as cupy:
        yield cupy


# ---- modes

def test_without_a_gpu_everything_is_numpy():
    code = """
import sys
import minicaffe, numpy
from minicaffe import backend
array = numpy.arange(3)
assert backend.mode() == "cpu" and backend.xp() is numpy and backend.to_numpy(array) is array
minicaffe.set_mode_cpu()
backend.choose("cpu")
assert "cupy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True,
                   env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)})


@pytest.mark.parametrize("call", ASK)
def test_asking_for_a_gpu_loads_cupy(cupy, call):
    call()
    assert backend.mode() == "gpu" and backend.xp() is cupy
    caffe.set_mode_cpu()
    assert backend.xp() is np


def test_the_device_that_was_chosen_is_the_one_that_the_mode_opens(cupy, monkeypatch):
    monkeypatch.setattr(runtime, "device_count", 4)
    used = []
    monkeypatch.setattr(runtime.Device, "use", lambda device: used.append(device.id))
    caffe.set_device(2)
    caffe.set_mode_cpu()
    caffe.set_mode_gpu()
    assert used and set(used) == {2} and backend.device_id() == 2


@pytest.mark.parametrize("call", ASK)
def test_asking_for_a_gpu_without_cupy_says_what_to_do(monkeypatch, call):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendError, match=r"the GPU needs CuPy, which can't be imported \(.*\): "
                       r"pip install 'minicaffe\[gpu13\]'.*\[gpu12\].*solver_mode: CPU or --gpu cpu"):
        call()
    assert backend.mode() == "cpu"


@pytest.mark.parametrize("call", ASK)
@pytest.mark.parametrize("failure", [
    "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    "cudaErrorNoDevice: no CUDA-capable device is detected"])
def test_no_driver_or_no_device(cupy, monkeypatch, call, failure):
    monkeypatch.setattr(runtime, "failure", failure)
    with pytest.raises(BackendError, match=f"^no GPU can be used: {failure}; use solver_mode: CPU "
                                           "or --gpu cpu$"):
        call()
    assert backend.mode() == "cpu"


@pytest.mark.parametrize("count, device, numbers", [(0, 0, "none"), (1, 1, "number 0 only"),
                                                    (4, 4, "numbers 0 to 3"),
                                                    (4, -1, "numbers 0 to 3")])
def test_a_device_that_is_not_there(cupy, monkeypatch, count, device, numbers):
    monkeypatch.setattr(runtime, "device_count", count)
    with pytest.raises(BackendError, match=f"^there is no GPU {device}: this machine has {numbers}$"):
        caffe.set_device(device)
    assert backend.mode() == "cpu" and backend.device_id() == 0


def test_a_device_whose_context_can_not_be_made(cupy, monkeypatch):
    def free(pointer):
        raise runtime.CUDARuntimeError("cudaErrorDevicesUnavailable: all are busy\nmore")
    monkeypatch.setattr(cupy.cuda.runtime, "free", free)
    with pytest.raises(BackendError, match="^GPU 0 can't be used: cudaErrorDevicesUnavailable: all "
                                           "are busy$"):
        caffe.set_mode_gpu()
    assert backend.mode() == "cpu"


def test_the_command_line_overrides_the_solver(cupy, monkeypatch):
    param = caffe_pb2.SolverParameter(solver_mode="GPU", device_id=1)
    backend.choose("cpu", param)
    assert param.solver_mode == param.CPU and backend.mode() == "cpu"
    monkeypatch.setattr(runtime, "device_count", 3)
    backend.choose("2", param)
    assert (param.solver_mode, param.device_id, backend.mode()) == (param.GPU, 2, "gpu")


@pytest.mark.parametrize("device", ["gpu", "-1", "0,1", ""])
def test_devices_that_are_none(device):
    with pytest.raises(BackendError, match=f"--gpu {device}: must be the number of a GPU, or cpu"):
        backend.choose(device)


def test_the_name_of_the_device(cupy):
    assert backend.device_name() and backend.device_name() != "Stand-in"
    caffe.set_mode_gpu()
    assert backend.device_name() == "Stand-in"


# ---- arrays

def test_copies_to_and_from_the_device(cupy):
    caffe.set_mode_gpu()
    here = np.arange(6, dtype=np.float32).reshape(2, 3)
    there = backend.to_device(here)
    assert isinstance(there, cupy.ndarray) and backend.module_of(there) is cupy
    assert backend.module_of(here) is np and backend.to_device(there) is there
    np.testing.assert_array_equal(backend.to_numpy(there), here)
    assert backend.to_device(here, np.float64).dtype == np.float64
    caffe.set_mode_cpu()
    np.testing.assert_array_equal(backend.to_device(there), here)


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("value", [2, np.float64(3), np.arange(3.0), np.arange(6).reshape(2, 3),
                                   [[1.0], [2.0]], np.array(4)])
def test_assign_takes_everything_from_everywhere(cupy, on_device, value):
    caffe.set_mode_gpu()
    expected = np.zeros((2, 3), np.float32)
    expected[...] = value
    given = cupy.asarray(value) if on_device else value
    for target in np.zeros((2, 3), np.float32), cupy.zeros((2, 3), np.float32), \
            cupy.zeros((3, 2), np.float32).T:
        backend.assign(target, given)
        np.testing.assert_array_equal(backend.to_numpy(target), expected)


@pytest.mark.parametrize("name", ["special"])
def test_the_module_of_scipy_for_the_device(cupy, name):
    assert backend.scipy_module(np, name).__name__ == f"scipy.{name}"
    assert backend.scipy_module(cupy, name).__name__ == f"cupyx.scipy.{name}"


# ---- errors of the device

def test_out_of_memory_tells_how_much_was_asked_for(cupy):
    assert backend.device_errors() == ()
    caffe.set_mode_gpu()
    try:
        raise runtime.OutOfMemoryError(1234567, 8192)
    except backend.device_errors() as problem:
        assert backend.explain(problem) == ("GPU 0 is out of memory: 1,234,567 bytes were asked "
                                            "for, 8,192 are taken; a smaller batch_size may help")
    vague = runtime.OutOfMemoryError(1, 2)
    vague.args = "no idea",
    assert "more bytes were asked for;" in backend.explain(vague)


@pytest.mark.parametrize("kind", [runtime.CUDARuntimeError, runtime.CUDADriverError,
                                  blas.CUBLASError])
def test_other_errors_are_the_driver_s_first_line(cupy, kind):
    caffe.set_mode_gpu()
    try:
        raise kind("an illegal memory access was encountered\nat some place")
    except backend.device_errors() as problem:
        assert backend.explain(problem) == "GPU 0: an illegal memory access was encountered"


@pytest.mark.parametrize("call", ["setup", "forward", "backward"])
def test_a_net_names_the_layer_that_met_it(cupy, monkeypatch, call):
    from net_helpers import SMALL, build

    from minicaffe.layers.inner_product import InnerProduct

    if kernels.compiler() is None:
        pytest.skip("no g++, which the stand-in for the GPU needs")
    caffe.set_mode_gpu()

    def fail(*arguments):
        raise runtime.OutOfMemoryError(99, 1)

    if call == "setup":
        monkeypatch.setattr(InnerProduct, "setup", fail)
    with pytest.raises(caffe.Error, match=r"layer '[ac]' \(InnerProduct\): GPU 0 is out of memory: "
                                          "99 bytes"), mirrors.for_tests():
        net = build(SMALL)
        for layer in net.layers:
            if layer.type == "InnerProduct" and call != "setup":
                setattr(layer, call, fail)
        net.forward()
        net.backward()


# ---- cuBLAS

def test_the_binding_is_found_where_cupy_has_it(cupy, monkeypatch):
    caffe.set_mode_gpu()
    binding, handle = backend.cublas()
    assert binding is sys.modules["cupy_backends.cuda.libs.cublas"] and handle == 1
    assert backend.cublas() is backend.cublas()


def test_the_binding_is_found_where_older_releases_have_it(cupy, monkeypatch):
    older = types.ModuleType("cupy.cuda.cublas")
    older.__dict__.update(vars(sys.modules["cupy_backends.cuda.libs.cublas"]))
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs.cublas", None)
    monkeypatch.setitem(sys.modules, "cupy.cuda.cublas", older)
    caffe.set_mode_gpu()
    assert backend.cublas()[0] is older


def test_without_the_binding_there_is_a_warning_and_products_by_cupy(cupy, monkeypatch):
    from minicaffe.primitives.gemm import batched_matmul

    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs.cublas", None)
    monkeypatch.setitem(sys.modules, "cupy.cuda.cublas", None)
    caffe.set_mode_gpu()
    with pytest.warns(UserWarning, match="no cuBLAS binding.*cupy.matmul"):
        assert backend.cublas()[0] is None
    rng = np.random.default_rng(0)
    a, b, out = (rng.normal(size=shape) for shape in ((2, 3, 4), (2, 4, 5), (2, 3, 5)))
    result = cupy.asarray(out)
    batched_matmul(cupy, cupy.asarray(a), cupy.asarray(b), result, add=True)
    np.testing.assert_allclose(result.get(), out + a @ b, rtol=1e-13)
    assert not blas.calls


@pytest.mark.parametrize("value, mode", [(None, 0), ("", 0), ("0", 0), ("1", 3)])
def test_reduced_precision_only_where_it_is_asked_for(cupy, monkeypatch, value, mode):
    monkeypatch.delenv("MINICAFFE_TF32", raising=False)
    if value is not None:
        monkeypatch.setenv("MINICAFFE_TF32", value)
    caffe.set_mode_gpu()
    binding, handle = backend.cublas()
    assert binding.getMathMode(handle) == mode


# ---- kernels

def test_kernels_are_compiled_once_for_each_type(cupy, monkeypatch):
    caffe.set_mode_gpu()
    sources = []

    class Module:
        def __init__(self, code, options):
            sources.append(code)

        def get_function(self, name):
            return lambda grid, block, arguments: sources.append((name, grid, block, arguments))

    monkeypatch.setattr(cupy, "RawModule", Module)
    monkeypatch.setattr(backend, "kernel_texts", {})
    texts = backend.Kernels("test", "text")
    for dtype in np.float32, np.float64, np.float32:
        texts("f", dtype, 257, 1, 2.0)
    texts("f", np.float32, 0)
    texts.by_blocks("f", np.float32, 0)
    texts("f", np.float32, 1 << 40)
    texts.by_blocks("f", np.float32, 5, 7)
    single, launch, double, *more = sources
    assert "#define Real float" in single and "#define Real double" in double
    assert launch == ("f", (2,), (256,), (1, 2.0))
    assert more == [launch, launch, ("f", (1 << 16,), (256,), ()), ("f", (5,), (256,), (7,))]


# ---- who may speak to CuPy

@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")),
                         ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_the_back_end_imports_cupy(path):
    """Neither by a statement nor by a string given to import_module."""
    if path.name == "backend.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
            [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [a.value for a in node.args if isinstance(a, ast.Constant)]
        assert not any(name.split(".")[0] in ("cupy", "cupyx", "cupy_backends") for name in names)
