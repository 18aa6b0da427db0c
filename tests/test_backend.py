import sys

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe import backend
from minicaffe.errors import BackendError
from minicaffe.proto import caffe_pb2


def test_without_a_gpu_everything_is_numpy():
    caffe.set_mode_cpu()
    assert backend.mode() == "cpu"
    assert backend.xp() is np
    array = np.arange(3)
    assert backend.to_numpy(array) is array
    assert "cupy" not in sys.modules


@pytest.mark.parametrize("call", [caffe.set_mode_gpu, lambda: caffe.set_device(0),
                                  lambda: backend.choose("0")])
def test_asking_for_a_gpu_says_what_to_do(call):
    with pytest.raises(BackendError, match="no GPU back end.*solver_mode: CPU"):
        call()
    assert backend.mode() == "cpu"


def test_choosing_the_cpu_overrides_the_solver():
    param = caffe_pb2.SolverParameter(solver_mode="GPU")
    backend.choose("cpu", param)
    assert param.solver_mode == param.CPU


@pytest.mark.parametrize("device", ["gpu", "-1", "0,1", ""])
def test_devices_that_are_none(device):
    with pytest.raises(BackendError, match=f"--gpu {device}: must be the number of a GPU, or cpu"):
        backend.choose(device)
