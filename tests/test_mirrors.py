"""Tests see a device's blobs as NumPy arrays; the package sees the device's own."""

import numpy as np
import pytest

from minicaffe import backend
from minicaffe.blob import Blob
from minicaffe.layers import layer_class
from minicaffe.proto import caffe_pb2

pytestmark = [pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True),
              pytest.mark.usefixtures("blobs_on_the_host")]


def on_device(blob):
    """What the device holds, read past the mirrors."""
    return blob._data.get()[:blob.size].reshape(blob.shape)


@pytest.fixture
def blob(xp):
    blob = Blob((2, 3), np.float64)
    blob.data[...] = np.arange(6).reshape(2, 3)
    return blob


def power():
    """A layer that sets y = x + 10 and has dx = dy."""
    param = caffe_pb2.LayerParameter(name="p", type="Power", power_param={"shift": 10})
    layer, top = layer_class("Power")(param, dtype=np.float64), [Blob((), np.float64)]
    return layer, top


def test_a_test_has_numpy_arrays(blob):
    assert type(blob.data) is type(blob.diff) is np.ndarray
    assert not isinstance(backend.xp().zeros(1), np.ndarray)


def test_what_a_test_writes_is_there_when_the_package_looks(blob):
    layer, top = power()
    layer.set_up([blob], top)
    blob.data[1, 2] = 7
    layer.forward([blob], top)
    assert top[0].data.tolist() == [[10, 11, 12], [13, 14, 17]]
    top[0].diff[...] = 3
    layer.backward(top, [True], [blob])
    assert (blob.diff == 3).all() and on_device(blob)[1, 2] == 7


def test_an_array_that_a_test_holds_is_renewed_when_the_blob_is_asked_again(blob):
    layer, top = power()
    layer.set_up([blob], top)
    held = top[0].data
    layer.forward([blob], top)
    assert top[0].data is not None and held[0, 0] == 10


def test_assigning_and_adding_in_place(blob):
    blob.data = 2 * np.ones((2, 3))
    assert (on_device(blob) == 2).all() and (blob.data == 2).all()
    blob.data += 1
    backend.synchronize()
    other = Blob((2, 3), np.float64)
    other.data = blob.data
    assert (on_device(other) == 3).all() and (other.data == 3).all()


def test_blobs_that_share_memory_share_the_mirror(blob):
    other = Blob((6,), np.float64)
    other.share_data(blob)
    other.data[0] = 9
    assert np.shares_memory(other.data, blob.data) and blob.data[0, 0] == 9
    assert not np.shares_memory(other.diff, blob.diff)


def test_a_smaller_shape_shows_the_beginning(blob):
    blob.reshape(2, 2)
    assert blob.data.tolist() == [[0, 1], [2, 3]]


def test_masks_and_blobs_without_entries(blob):
    blob.mask = np.array([[1, 0, 1], [0, 1, 1]])
    assert type(blob.mask) is np.ndarray and blob.data.tolist() == [[0, 0, 2], [0, 4, 5]]
    assert Blob((0, 3)).data.shape == (0, 3)


def test_code_called_by_the_package_has_the_device_s_arrays(blob):
    seen = []

    class Mine(layer_class("Power")):
        def values(self, x, y):
            raise AssertionError("not on the GPU")

        def constants(self):
            seen.append(type(blob.data))
            return super().constants()

    layer, top = Mine(power()[0].layer_param, dtype=np.float64), [Blob((), np.float64)]
    layer.set_up([blob], top)
    layer.forward([blob], top)
    assert seen and np.ndarray not in seen


def test_afterwards_blobs_are_as_before():
    from mirrors import for_tests

    before = Blob.data, Blob.diff, Blob.mask
    with for_tests():
        assert Blob.data is not before[0]
    assert (Blob.data, Blob.diff, Blob.mask) == before
