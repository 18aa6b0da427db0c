import numpy as np
import pytest
from helpers import backward_once, make_layer
from numpy.testing import assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError

h5py = pytest.importorskip("h5py")


def make(path, shapes=((3, 2, 4), (3,)), **options):
    return make_layer("HDF5Output", list(shapes), num_top=0, file_name=str(path), **options)


def contents(path):
    with h5py.File(path) as file:
        assert set(file) == {"data", "label"}
        return file["data"][()], file["label"][()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_all_passes(xp, tmp_path, dtype):
    path = tmp_path / "out.h5"
    path.write_text("something old")
    layer, bottom, top = make(path, dtype=dtype)
    data, label = [], []
    for k in range(3):
        bottom[0].data[...] = np.random.default_rng(k).normal(size=(3, 2, 4))
        bottom[1].data[...] = k
        layer.forward(bottom, top)
        data.append(to_numpy(bottom[0].data).copy())
        label.append(to_numpy(bottom[1].data).copy())
        written, labels = contents(path)
        assert written.dtype == dtype
        assert_array_equal(written, np.concatenate(data).reshape(-1, 2, 4, 1))
        assert_array_equal(labels, np.concatenate(label).reshape(-1, 1, 1, 1))
    assert not backward_once(layer, bottom, top)[0].any()


def test_a_new_layer_makes_the_file_anew(xp, tmp_path):
    for k in range(2):
        layer, bottom, top = make(tmp_path / "out.h5", [(k + 1, 2, 1, 1, 3), (k + 1, 1)])
        layer.forward(bottom, top)
        data, label = contents(tmp_path / "out.h5")
        assert data.shape == (k + 1, 2, 1, 1, 3) and label.shape == (k + 1, 1, 1, 1)


def test_errors(xp, tmp_path):
    with pytest.raises(LayerError, match="file_name is missing"):
        make("")
    with pytest.raises(LayerError, match="there is no folder .*nowhere"):
        make(tmp_path / "nowhere" / "out.h5")
    with pytest.raises(LayerError, match="differ in their number of samples"):
        make(tmp_path / "out.h5", [(3, 2), (4,)])
    layer, bottom, top = make(tmp_path / "out.h5")
    layer.forward(bottom, top)
    bottom[0].reshape(3, 5)
    layer.reshape(bottom, top)
    with pytest.raises(LayerError, match=r"rows of 'data' are \(5, 1, 1\), those already in"):
        layer.forward(bottom, top)
    folder, bottom, top = make(tmp_path)
    with pytest.raises(LayerError, match="can't be written"):
        folder.forward(bottom, top)
