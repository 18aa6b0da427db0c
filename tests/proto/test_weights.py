import pathlib

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.errors import FileError, WeightsError
from minicaffe.proto import weights
from minicaffe.proto.caffe_pb2 import BlobProto, NetParameter, SolverState

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "nets" / "lenet"
CAFFEMODEL = GOLDEN / "lenet_init.caffemodel"


@pytest.fixture
def state_file(tmp_path):
    path = tmp_path / "run.solverstate"
    state = SolverState(iter=100, learned_net="run_iter_100.caffemodel")
    weights.array_to_blob(np.ones(3, np.float32), state.history.add())
    weights.write_binary(state, path)
    return path


def test_weights_written_by_the_original_caffe():
    net = weights.read_net_weights(CAFFEMODEL)
    shapes = {layer.name: [weights.blob_shape(blob) for blob in layer.blobs]
              for layer in net.layer if layer.blobs}
    assert shapes == {"conv1": [(20, 1, 5, 5), (20,)], "conv2": [(50, 20, 5, 5), (50,)],
                      "ip1": [(500, 800), (500,)], "ip2": [(10, 500), (10,)]}
    statistics = np.load(GOLDEN / "param_stats.npz")
    for layer in net.layer:
        for i, blob in enumerate(layer.blobs):
            w = weights.blob_to_array(blob).astype(np.float64)
            found = [w.mean(), w.std(), np.linalg.norm(w)]
            assert_allclose(found, statistics[f"{layer.name}_{i}_init"], rtol=1e-6, atol=1e-9)


def test_weights_of_the_original_caffe_are_written_back_to_the_same_bytes(tmp_path):
    net = weights.read_net_weights(CAFFEMODEL)
    for layer in net.layer:
        for blob in layer.blobs:
            weights.array_to_blob(weights.blob_to_array(blob), blob)
    weights.write_binary(net, tmp_path / "again.caffemodel")
    assert (tmp_path / "again.caffemodel").read_bytes() == CAFFEMODEL.read_bytes()


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (2, 0, 3), (1, 1, 1, 300)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_array_there_and_back(shape, dtype):
    rng = np.random.default_rng(1)
    array, diff = rng.standard_normal((2, *shape)).astype(dtype)
    mask = rng.random(shape) < 0.5
    blob = weights.array_to_blob(array, diff=diff, mask=mask)
    blob = BlobProto.FromString(blob.SerializeToString())
    assert weights.blob_shape(blob) == shape and not weights.is_legacy(blob)
    assert_array_equal(weights.blob_to_array(blob), array)
    assert_array_equal(weights.blob_to_array(blob, "diff"), diff)
    assert_array_equal(weights.unpack_mask(blob), mask)
    if array.size:
        assert weights.blob_to_array(blob).dtype == dtype
        assert len(blob.data) == (0 if dtype == np.float64 else array.size)


def test_array_to_blob_equals_protobufs_own_filling():
    array = np.random.default_rng(1).standard_normal((7, 40)).astype(np.float32)
    expected = BlobProto(data=array.ravel().tolist())
    expected.shape.dim.extend([40, 7])
    assert weights.array_to_blob(array.reshape(7, 40).reshape(40, 7)) == expected


def test_array_to_blob_takes_views_and_other_types_and_replaces_what_was_there():
    blob = BlobProto(num=1, data=[1, 2, 3], mask=b"\xff")
    array = np.arange(6).reshape(2, 3).T
    assert weights.array_to_blob(array, blob) is blob
    assert not weights.is_legacy(blob) and weights.unpack_mask(blob) is None
    assert_array_equal(weights.blob_to_array(blob), array.astype(np.float32))


def test_array_is_a_copy_that_may_be_written_to():
    blob = weights.array_to_blob(np.zeros(3, np.float32))
    weights.blob_to_array(blob)[:] = 1
    assert list(blob.data) == [0, 0, 0]


def test_mask_bits_are_in_packbits_order():
    mask = np.zeros((3, 3), bool)
    mask[0, 0] = mask[2, 2] = True
    assert weights.pack_mask(mask) == b"\x80\x80"


@pytest.mark.parametrize("call, message", [
    (lambda: weights.blob_to_array(BlobProto(num=2, channels=3, height=1, width=1, data=[1] * 5)),
     r"blob of shape \(2, 3, 1, 1\) holds 5 values"),
    (lambda: weights.blob_to_array(BlobProto()), r"blob of shape \(\) holds 0 values"),
    (lambda: weights.blob_to_array(BlobProto(num=-1, channels=-1, height=1, width=1, data=[1])),
     r"blob of shape \(-1, -1, 1, 1\) holds 1 values"),
    (lambda: weights.unpack_mask(BlobProto(num=3, channels=3, height=1, width=1, mask=b"a")),
     r"blob of shape \(3, 3, 1, 1\) holds a mask of 1 bytes"),
    (lambda: weights.array_to_blob(np.zeros(3), diff=np.zeros(2)),
     r"diff of shape \(2,\) for a blob of \(3,\)"),
])
def test_contradictions_inside_a_blob(call, message):
    with pytest.raises(WeightsError, match=message):
        call()


def test_binaryproto_there_and_back(tmp_path):
    mean = np.random.default_rng(1).random((3, 4, 4), np.float32)
    weights.write_blob(mean, tmp_path / "mean.binaryproto")
    assert_array_equal(weights.read_blob(tmp_path / "mean.binaryproto"), mean)


def test_binaryproto_with_the_legacy_shape(tmp_path):
    blob = BlobProto(num=1, channels=3, height=2, width=4, data=range(24))
    weights.write_binary(blob, tmp_path / "mean.binaryproto")
    assert weights.is_legacy(blob)
    assert_array_equal(weights.read_blob(tmp_path / "mean.binaryproto"),
                       np.arange(24, dtype=np.float32).reshape(1, 3, 2, 4))


def test_binaryproto_whose_count_clashes_names_the_file(tmp_path):
    path = tmp_path / "mean.binaryproto"
    weights.write_binary(BlobProto(num=1, channels=3, height=2, width=2, data=[1]), path)
    with pytest.raises(WeightsError, match=r"mean\.binaryproto: a blob of shape .* holds 1 values"):
        weights.read_blob(path)


def test_solver_state(state_file):
    state = weights.read_solver_state(state_file)
    assert state.iter == 100
    assert_array_equal(weights.blob_to_array(state.history[0]), np.ones(3))


READERS = {"caffemodel": weights.read_net_weights, "solverstate": weights.read_solver_state,
           "binaryproto": weights.read_blob}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("contents, message", [
    (b"", "is empty, where a binary .{kind} is expected"),
    (b'name: "LeNet"\nlayer { }\n', "is a text file, where a binary .{kind} is expected"),
    (b"\x89HDF\r\n\x1a\n" + bytes(90), "is an HDF5 file, where a binary .{kind} is expected"),
    (bytes(range(256)), "is not a readable {kind}: truncated or of another format"),
])
def test_foreign_files(tmp_path, kind, contents, message):
    path = tmp_path / f"file.{kind}"
    path.write_bytes(contents)
    with pytest.raises(FileError) as error:
        READERS[kind](path)
    assert str(error.value) == f"{path}: {message.format(kind=kind)}"


@pytest.mark.parametrize("kept", [10, 1000, 200_000, 1_700_000])
def test_truncated_weights(tmp_path, kept):
    path = tmp_path / "cut.caffemodel"
    path.write_bytes(CAFFEMODEL.read_bytes()[:kept])
    with pytest.raises(FileError, match="is not a readable caffemodel: truncated or of another"):
        weights.read_net_weights(path)


def test_kinds_are_not_mistaken_for_each_other(tmp_path, state_file):
    weights.write_blob(np.ones((3, 2, 2), np.float32), tmp_path / "mean.binaryproto")
    files = {"caffemodel": CAFFEMODEL, "solverstate": state_file,
             "binaryproto": tmp_path / "mean.binaryproto"}
    for wanted, read in READERS.items():
        for given, path in files.items():
            if wanted != given:
                with pytest.raises(FileError, match=f"is a .*{given}, where a binary .{wanted}"):
                    read(path)


def test_unreadable_and_unwritable_places(tmp_path):
    for read in READERS.values():
        with pytest.raises(FileError, match="none: can't be read: no such file or directory$"):
            read(tmp_path / "none")
    with pytest.raises(FileError, match="can't be written: no such file or directory$"):
        weights.write_binary(NetParameter(), tmp_path / "none" / "a.caffemodel")


def test_incomplete_message_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.caffemodel"
    path.write_bytes(b"old")
    net = NetParameter()
    net.layer.add().clip_param.min = 1
    with pytest.raises(FileError, match="a.caffemodel: can't be written: .*max"):
        weights.write_binary(net, path)
    assert path.read_bytes() == b"old"
