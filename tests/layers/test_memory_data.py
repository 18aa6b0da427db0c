import numpy as np
import pytest
from google.protobuf import text_format
from helpers import make_layer
from numpy.testing import assert_array_equal

import minicaffe
from minicaffe.errors import LayerError, NetError
from minicaffe.proto import caffe_pb2

DATA = np.random.default_rng(0).normal(size=(6, 3, 2, 4)).astype(np.float32)
LABELS = np.arange(6)
FIELDS = dict(batch_size=2, channels=3, height=2, width=4)


def net_of(text):
    return minicaffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), minicaffe.TEST)


@pytest.fixture
def net():
    return net_of("""
        layer { name: 'd' type: 'MemoryData' top: 'data' top: 'label'
                memory_data_param { batch_size: 2 channels: 3 height: 2 width: 4 } }
        layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' }""")


@pytest.mark.parametrize("labels", [LABELS, LABELS.reshape(6, 1, 1, 1), LABELS.astype(float)])
def test_batches_follow_each_other_and_wrap_around(net, labels):
    net.set_input_arrays(DATA, labels)
    for k in range(7):
        net.forward()
        rows = np.arange(2 * k, 2 * k + 2) % 6
        assert_array_equal(net.blobs["data"].data, DATA[rows])
        assert_array_equal(net.blobs["label"].data, LABELS[rows])
        assert_array_equal(net.blobs["r"].data, np.maximum(DATA[rows], 0))


def test_new_arrays_begin_at_their_first_row_and_position_goes_on(net):
    net.set_input_arrays(DATA, LABELS)
    net.forward()
    net.set_input_arrays(-DATA[:4], LABELS[:4])
    net.forward()
    assert_array_equal(net.blobs["data"].data, -DATA[:2])
    assert net.layers[0].position == 1
    net.layers[0].position = 3
    net.forward()
    assert_array_equal(net.blobs["label"].data, [2, 3])


def test_transform_param_is_warned_of(xp, caplog):
    layer, _, _ = make_layer("MemoryData", [], xp=xp, num_top=2, **FIELDS,
                             also={"transform_param": {"scale": 2}})
    layer.set_input_arrays(DATA, LABELS)
    assert "transform_param is not applied" in caplog.text


@pytest.mark.parametrize("data, labels, message", [
    (DATA[:5], LABELS[:5], "number of rows, 5, is not a positive multiple of batch_size 2"),
    (DATA[:0], LABELS[:0], "number of rows, 0, is not"),
    (DATA, LABELS[:4], r"labels of shape \(4,\) do not fit 6 rows"),
    (DATA, LABELS.reshape(3, 2), r"labels of shape \(3, 2\) do not fit"),
    (DATA[0], LABELS, r"data of shape \(3, 2, 4\) does not fit: .* \(3, 2, 4\)"),
    (DATA[:, :2], LABELS, r"data of shape \(6, 2, 2, 4\) does not fit"),
    (DATA, np.array(list("abcdef")), "labels must be an array of numbers")])
def test_arrays_that_do_not_fit(net, data, labels, message):
    with pytest.raises(LayerError, match=r"layer 'd' \(MemoryData\): .*" + message):
        net.set_input_arrays(data, labels)


def test_other_errors(xp, net):
    with pytest.raises(LayerError, match="has no data yet: call the net's set_input_arrays"):
        net.forward()
    for field in FIELDS:
        with pytest.raises(LayerError, match=f"{field} must be given and positive"):
            make_layer("MemoryData", [], xp=xp, num_top=2, **{**FIELDS, field: 0})
    other = net_of("layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 1 } } }")
    with pytest.raises(NetError, match=r"layer is a MemoryData; this one's is 'in' \(Input\)"):
        other.set_input_arrays(DATA, LABELS)
