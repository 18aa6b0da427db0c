"""NetSpec: what pycaffe's net_spec makes of the same calls, as text; and its errors."""

import pytest

import minicaffe as caffe
from minicaffe import NetSpec, layers as L, params as P
from minicaffe.errors import LayerError
from minicaffe.net_spec import to_proto
from minicaffe.proto import caffe_pb2, text

TEXT = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.5 } data_param { source: "db" batch_size: 64 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "InnerProduct1" type: "InnerProduct" bottom: "pool" top: "InnerProduct1"
  inner_product_param { num_output: 10 } }
layer { name: "relu" type: "ReLU" bottom: "InnerProduct1" top: "InnerProduct1" }
layer { name: "InnerProduct2" type: "InnerProduct" bottom: "InnerProduct1" top: "InnerProduct2"
  inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "InnerProduct2" bottom: "label" top: "loss"
  loss_weight: 2 loss_param { ignore_label: 3 } }
layer { name: "quiet" type: "Silence" bottom: "label" }
"""


def spec():
    n = NetSpec()
    n.data, n.label = L.Data(source="db", batch_size=64, backend=P.Data.LMDB, ntop=2,
                             transform_param=dict(scale=0.5), include=dict(phase=caffe.TRAIN))
    n.conv = L.Convolution(n.data, num_output=8, kernel_size=5, weight_filler=dict(type="xavier"),
                           param=[dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)])
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.relu = L.ReLU(L.InnerProduct(n.pool, num_output=10), in_place=True)
    n.loss = L.SoftmaxWithLoss(L.InnerProduct(n.relu, num_output=5), n.label, loss_weight=2,
                               loss_param=dict(ignore_label=3))
    n.quiet = L.Silence(n.label, ntop=0)
    return n


def test_names_tops_and_parameters():
    assert spec().to_proto() == text.parse(TEXT, caffe_pb2.NetParameter)


def test_to_proto_of_tops_names_all_layers_automatically():
    data = L.Input(input_param=dict(shape=dict(dim=[2, 3])))
    one, two = L.Slice(data, ntop=2), L.ReLU(data)
    net = to_proto(L.Eltwise(*one), two)
    assert [(la.name, list(la.bottom), list(la.top)) for la in net.layer] == [
        ("Input1", [], ["Input1"]), ("Slice1", ["Input1"], ["Slice1", "Slice2"]),
        ("Eltwise1", ["Slice1", "Slice2"], ["Eltwise1"]), ("ReLU1", ["Input1"], ["ReLU1"])]
    assert two.to_proto() == to_proto(two) and one[0].fn.to_proto().layer[1].name == "Slice1"


def test_items_and_deletion():
    n = spec()
    assert n["conv"] is n.conv and "conv" in n
    n["more"] = L.TanH(n.conv, name="given")
    assert n.to_proto().layer[-1].name == "given" and n.to_proto().layer[-1].top == ["more"]
    del n["more"], n.quiet
    assert n.to_proto().layer[-1].name == "loss"
    with pytest.raises(AttributeError, match="no top 'quiet'; its tops are data, label, conv"):
        n.quiet


def test_a_chain_of_any_length():
    top = L.Input(shape=dict(dim=[1]))
    for _ in range(3000):
        top = L.ReLU(top)
    assert to_proto(top).layer[-1].name == "ReLU3000"


@pytest.mark.parametrize("top, expected", [
    (lambda d: L.Deconvolution(d, num_output=3), "convolution_param { num_output: 3 }"),
    (lambda d: L.Convolution(d, convolution_param=dict(pad=(1, 2))), "convolution_param { pad: 1 pad: 2 }"),
    (lambda d: L.LSTM(d, num_output=4), "recurrent_param { num_output: 4 }"),
    (lambda d: L.ReLU(d, relu_param=dict()), "relu_param { }"),
    (lambda d: L.Pooling(d, pool="AVE"), "pooling_param { pool: AVE }"),
    (lambda d: L.InnerProduct(d, phase=caffe.TEST, param=dict(name="w")), 'phase: TEST param { name: "w" }'),
    (lambda d: L.Python(d, module="m", layer="l"), 'python_param { module: "m" layer: "l" }')])
def test_where_arguments_go(top, expected):
    layer = to_proto(top(L.Input())).layer[1]
    for field in ("name", "type", "bottom", "top"):
        layer.ClearField(field)
    assert layer == text.parse(expected, caffe_pb2.LayerParameter)


@pytest.mark.parametrize("arguments, message", [
    (dict(num_out=3), r"layer 'InnerProduct1' \(InnerProduct\): neither inner_product_param nor "
                      "LayerParameter has a field 'num_out'; did you mean 'num_output'"),
    (dict(num_output="x"), "num_output can't be 'x'"),
    (dict(weight_filler=dict(tipe="a")), "FillerParameter has no field 'tipe'; did you mean 'type'"),
    (dict(weight_filler=3), "weight_filler can't be 3"),
    (dict(include=[dict(phase="TRIAN")]), "phase can't be 'TRIAN'"),
    (dict(inner_product_param=3), "inner_product_param can't be 3")])
def test_bad_arguments(arguments, message):
    with pytest.raises(LayerError, match=message):
        to_proto(L.InnerProduct(L.Input(), **arguments))


def test_bad_tops():
    data = L.Data(ntop=2)
    with pytest.raises(TypeError, match="ReLU: input 0 is a tuple, not the top"):
        L.ReLU(data)
    with pytest.raises(TypeError, match="'x' is set to a int"):
        NetSpec().x = 3
    with pytest.raises(LayerError, match="in_place needs as many inputs as tops, not 2 for 1"):
        L.Eltwise(*data, in_place=True)


def test_layers_is_the_package_too():
    assert L.layer_class("ReLU").type == "ReLU" and L.base.Layer is L.Layer
    with pytest.raises(AttributeError, match="no attribute 'poolin'"):
        L.poolin
    with pytest.raises(AttributeError, match="no PolingParameter"):
        P.Poling.MAX
