import numpy as np
import pytest
from google.protobuf import text_format
from helpers import batches
from numpy.testing import assert_array_equal

from minicaffe.blob import Blob
from minicaffe.errors import Error
from minicaffe.layers import layer_class
from minicaffe.proto import caffe_pb2

h5py = pytest.importorskip("h5py")
DATA = np.random.default_rng(0).normal(size=(9, 2, 3)).astype(np.float32)
LABEL = np.arange(9)


@pytest.fixture
def make(tmp_path):
    """make(text of hdf5_data_param, seed): the layer, set up, and its tops data and label."""
    for name, rows in ("0.h5", slice(0, 4)), ("1.h5", slice(4, 9)):
        with h5py.File(tmp_path / name, "w") as file:
            file["data"], file["label"] = DATA[rows], LABEL[rows]
    (tmp_path / "list.txt").write_text("0.h5\n1.h5\n")
    layers = []

    def build(text, seed=1, tops=("data", "label"), more=""):
        param = text_format.Merge(
            f"name: 'rows' type: 'HDF5Data' hdf5_data_param {{ source: '{tmp_path}/list.txt' {text} }} {more}",
            caffe_pb2.LayerParameter(top=tops))
        layer, top = layer_class("HDF5Data")(param, rng=np.random.default_rng(seed)), [Blob() for _ in tops]
        layer.set_up([], top)
        layers.append(layer)
        return layer, top
    yield build
    for layer in layers:
        layer.close()


def test_rows_of_all_files_follow_each_other(make):
    layer, top = make("batch_size: 3")
    assert top[0].shape == (3, 2, 3) and top[1].shape == (3,)
    for k, (data, label) in enumerate(batches(layer, top, 5)):
        indices = np.arange(3 * k, 3 * k + 3) % 9
        assert_array_equal(data, DATA[indices])
        assert_array_equal(label, indices)


def test_shuffle_keeps_files_together_and_continues_from_a_position(make):
    layer, top = make("batch_size: 9 shuffle: true")
    got = batches(layer, top, 6)
    for data, label in got:
        assert_array_equal(np.sort(label), LABEL)
        assert_array_equal(data, DATA[label.astype(int)])
        assert np.count_nonzero(np.diff(label > 3)) == 1
    assert len({tuple(label) for _, label in got}) == 6
    layer.position = 4
    assert_array_equal(batches(layer, top, 1)[0][1], got[4][1])
    assert layer.position == 5


@pytest.mark.parametrize("text, tops, more, match", [
    ("", ["data"], "", "batch_size 0 must be at least 1"),
    ("batch_size: 1", ["data", "mask"], "", "0.h5: no dataset 'mask' in it, only data, label"),
    ("batch_size: 1 source: '/no/list'", ["data"], "", "/no/list not found"),
    ("batch_size: 1", ["data"], "transform_param { scale: 2 }", "transform_param must not be given")])
def test_bad_parameters(make, text, tops, more, match):
    with pytest.raises(Error, match=rf"layer 'rows' \(HDF5Data\): .*{match}"):
        make(text, tops=tops, more=more)
