"""Old formats: each V1 and V0 layer type as today's layer, whole nets, weights, solvers, files."""

import logging

import numpy as np
import pytest
from google.protobuf import text_format
from numpy.testing import assert_array_equal

import minicaffe as caffe
from minicaffe.errors import LayerError, NetError, SolverError
from minicaffe.proto import caffe_pb2, text, upgrade, weights

V1_NAMES = """
ABSVAL AbsVal, ACCURACY Accuracy, ARGMAX ArgMax, BNLL BNLL, CONCAT Concat,
CONTRASTIVE_LOSS ContrastiveLoss, CONVOLUTION Convolution, DATA Data, DECONVOLUTION Deconvolution,
DROPOUT Dropout, DUMMY_DATA DummyData, EUCLIDEAN_LOSS EuclideanLoss, ELTWISE Eltwise, EXP Exp,
FLATTEN Flatten, HDF5_DATA HDF5Data, HDF5_OUTPUT HDF5Output, HINGE_LOSS HingeLoss, IM2COL Im2col,
IMAGE_DATA ImageData, INFOGAIN_LOSS InfogainLoss, INNER_PRODUCT InnerProduct, LRN LRN,
MEMORY_DATA MemoryData, MULTINOMIAL_LOGISTIC_LOSS MultinomialLogisticLoss, MVN MVN, POOLING Pooling,
POWER Power, RELU ReLU, SIGMOID Sigmoid, SIGMOID_CROSS_ENTROPY_LOSS SigmoidCrossEntropyLoss,
SILENCE Silence, SOFTMAX Softmax, SOFTMAX_LOSS SoftmaxWithLoss, SPLIT Split, SLICE Slice, TANH TanH,
WINDOW_DATA WindowData, THRESHOLD Threshold"""
V1_NAMES = [pair.split() for pair in V1_NAMES.replace("\n", " ").split(",")]


def net_of(source):
    return text_format.Parse(source, caffe_pb2.NetParameter())


def upgraded(source, name="old"):
    net = net_of(source)
    return upgrade.upgrade_net(net, [f"{name}:{i}" for i in range(len(net.layers))], name)


def assert_becomes(old, new):
    assert text.to_text(upgraded(old)[0]) == text.to_text(net_of(new))


@pytest.mark.parametrize("old, new", V1_NAMES)
def test_v1_types(old, new):
    assert_becomes(f'layers {{ name: "x" type: {old} bottom: "a" top: "b" }}',
                   f'layer {{ name: "x" type: "{new}" bottom: "a" top: "b" }}')


def test_all_v1_types_are_tried():
    assert {old for old, _ in V1_NAMES} | {"NONE"} == set(caffe_pb2.V1LayerParameter.LayerType.keys())


def test_v1_fields():
    assert_becomes("""
        name: "net" state { phase: TRAIN } force_backward: true debug_info: true
        layers { name: "c" type: CONVOLUTION bottom: "a" bottom: "b" top: "x" top: "y"
            param: "w" param: "" blob_share_mode: PERMISSIVE blobs_lr: 1 blobs_lr: 2 blobs_lr: 3
            weight_decay: 4 loss_weight: 0.5 loss_weight: 0 include { phase: TEST }
            include { stage: "s" } convolution_param { num_output: 3 }
            blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 } }
        layers { name: "l" type: SOFTMAX_LOSS exclude { phase: TRAIN }
            loss_param { ignore_label: 2 } }""", """
        name: "net" state { phase: TRAIN } force_backward: true debug_info: true
        layer { name: "c" type: "Convolution" bottom: "a" bottom: "b" top: "x" top: "y"
            param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 4 }
            param { name: "" lr_mult: 2 } param { lr_mult: 3 }
            loss_weight: 0.5 loss_weight: 0 include { phase: TEST }
            include { stage: "s" } convolution_param { num_output: 3 }
            blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 } }
        layer { name: "l" type: "SoftmaxWithLoss" exclude { phase: TRAIN }
            loss_param { ignore_label: 2 } }""")


def test_every_parameter_message_of_v1_is_kept():
    old = caffe_pb2.V1LayerParameter()
    fields = [f for f in old.DESCRIPTOR.fields if f.name.endswith("_param")]
    for field in fields:
        getattr(old, field.name).SetInParent()
    new = upgrade.upgrade_net(caffe_pb2.NetParameter(layers=[old]), ["p"], "n")[0].layer[0]
    assert len(fields) == 30
    for field in fields:
        assert new.HasField(field.name) == (field.name != "layer"), field.name


@pytest.mark.parametrize("old, new, message", [("DATA", "Data", "data_param"),
                                               ("IMAGE_DATA", "ImageData", "image_data_param"),
                                               ("WINDOW_DATA", "WindowData", "window_data_param")])
def test_transformation_fields_move(old, new, message):
    assert_becomes(f"""layers {{ type: {old} transform_param {{ force_gray: true }} {message} {{
        source: "s" scale: 0.5 mean_file: "m" crop_size: 3 mirror: true batch_size: 2 }} }}""",
                   f"""layer {{ type: "{new}" {message} {{ source: "s" batch_size: 2 }}
        transform_param {{ force_gray: true scale: 0.5 mean_file: "m" crop_size: 3 mirror: true }} }}""")


def test_what_is_handed_in_stays_as_it_is():
    old = net_of('input: "x" layers { type: DATA data_param { scale: 2 } }')
    before = old.SerializeToString()
    new, _ = upgrade.upgrade_net(old, ["p"], "n")
    assert new.layer[0].transform_param.scale == 2 and old.SerializeToString() == before


# type, V0 fields, today's type, today's fields
V0_LAYERS = [
    ("accuracy", "", "Accuracy", ""), ("bnll", "", "BNLL", ""),
    ("concat", "concat_dim: 2", "Concat", "concat_param { concat_dim: 2 }"),
    ("conv", """num_output: 4 biasterm: false weight_filler { type: "xavier" }
        bias_filler { value: 2 } pad: 1 kernelsize: 3 group: 2 stride: 5 blobs_lr: 1 blobs_lr: 2
        weight_decay: 3 blobs { data: 1 }""", "Convolution",
     """param { lr_mult: 1 decay_mult: 3 } param { lr_mult: 2 } blobs { data: 1 }
        convolution_param { num_output: 4 bias_term: false weight_filler { type: "xavier" }
        bias_filler { value: 2 } pad: 1 kernel_size: 3 group: 2 stride: 5 }"""),
    ("data", """source: "s" scale: 2 meanfile: "m" batchsize: 3 cropsize: 4 mirror: true
        rand_skip: 5""", "Data", """data_param { source: "s" batch_size: 3 rand_skip: 5 }
        transform_param { scale: 2 mean_file: "m" crop_size: 4 mirror: true }"""),
    ("dropout", "dropout_ratio: 0.25", "Dropout", "dropout_param { dropout_ratio: 0.25 }"),
    ("euclidean_loss", "", "EuclideanLoss", ""), ("flatten", "", "Flatten", ""),
    ("hdf5_data", 'source: "s" batchsize: 3', "HDF5Data",
     'hdf5_data_param { source: "s" batch_size: 3 }'),
    ("hdf5_output", 'hdf5_output_param { file_name: "f" }', "HDF5Output",
     'hdf5_output_param { file_name: "f" }'),
    ("im2col", "", "Im2col", ""),
    ("images", """source: "s" scale: 2 meanfile: "m" batchsize: 3 cropsize: 4 mirror: true
        rand_skip: 5 shuffle_images: true new_height: 6 new_width: 7""", "ImageData",
     """image_data_param { source: "s" batch_size: 3 rand_skip: 5 shuffle: true new_height: 6
        new_width: 7 } transform_param { scale: 2 mean_file: "m" crop_size: 4 mirror: true }"""),
    ("infogain_loss", 'source: "s"', "InfogainLoss", 'infogain_loss_param { source: "s" }'),
    ("innerproduct", """num_output: 4 biasterm: true weight_filler { std: 2 }
        bias_filler { value: 2 }""", "InnerProduct", """inner_product_param { num_output: 4
        bias_term: true weight_filler { std: 2 } bias_filler { value: 2 } }"""),
    ("lrn", "local_size: 3 alpha: 1 beta: 2 k: 3", "LRN",
     "lrn_param { local_size: 3 alpha: 1 beta: 2 k: 3 }"),
    ("multinomial_logistic_loss", "", "MultinomialLogisticLoss", ""),
    ("pool", "pool: AVE pad: 1 kernelsize: 3 stride: 2", "Pooling",
     "pooling_param { pool: AVE pad: 1 kernel_size: 3 stride: 2 }"),
    ("relu", "", "ReLU", ""), ("sigmoid", "", "Sigmoid", ""), ("softmax", "", "Softmax", ""),
    ("softmax_loss", "", "SoftmaxWithLoss", ""), ("split", "", "Split", ""), ("tanh", "", "TanH", ""),
    ("window_data", """source: "s" batchsize: 3 det_fg_threshold: 1 det_bg_threshold: 2
        det_fg_fraction: 3 det_context_pad: 4 det_crop_mode: "square" """, "WindowData",
     """window_data_param { source: "s" batch_size: 3 fg_threshold: 1 bg_threshold: 2
        fg_fraction: 3 context_pad: 4 crop_mode: "square" }""")]


@pytest.mark.parametrize("kind, fields, new, new_fields", V0_LAYERS, ids=[c[0] for c in V0_LAYERS])
def test_v0_layers(kind, fields, new, new_fields):
    old = f'layers {{ layer {{ name: "x" type: "{kind}" {fields} }} bottom: "a" top: "b" }}'
    result, _ = upgraded(old + 'input: "a" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4')
    expected = net_of(f'layer {{ name: "x" type: "{new}" bottom: "a" top: "b" {new_fields} }}')
    assert text.to_text(result.layer[1]) == text.to_text(expected.layer[0])
    assert len(result.layer) == 2


def test_v0_fields_that_a_type_does_not_have_are_left_out_with_a_warning(caplog):
    result, _ = upgraded('layers { layer { name: "r" type: "relu" num_output: 3 new_num: 2 } }')
    assert text.to_text(result) == text.to_text(net_of('layer { name: "r" type: "ReLU" }'))
    assert "old:0: layer 'r' (relu): num_output is left out" in caplog.text
    assert "new_num is left out" in caplog.text


PADDED = """
    input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4
    layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "padded" }
    layers { layer { name: "c" type: "KIND" kernelsize: 3 } bottom: "padded" top: "c" }
    layers { layer { name: "r" type: "relu" } bottom: "c" top: "c" }"""


@pytest.mark.parametrize("kind, message", [("conv", "convolution_param"), ("pool", "pooling_param")])
def test_padding_goes_into_the_layer_that_reads_it(kind, message):
    net, places = upgraded(PADDED.replace("KIND", kind))
    assert [layer.name for layer in net.layer] == ["input", "c", "r"]
    assert places == ["old", "old:1", "old:2"]
    c = net.layer[1]
    assert list(c.bottom) == ["data"]
    pad = getattr(c, message).pad
    assert pad == 2 or list(pad) == [2]


def test_padding_in_place():
    net, _ = upgraded("""
        layers { layer { name: "d" type: "hdf5_data" } top: "x" }
        layers { layer { name: "p" type: "padding" pad: 3 } bottom: "x" top: "x" }
        layers { layer { name: "c" type: "conv" } bottom: "x" top: "c" }""")
    assert list(net.layer[1].convolution_param.pad) == [3] and list(net.layer[1].bottom) == ["x"]


@pytest.mark.parametrize("change, what", [
    (("KIND", "innerproduct"), "old:1: layer 'c' .*only conv and pool"),
    (("KIND", "deconv"), "old:1: .*only conv and pool"),
    (('bottom: "padded"', 'bottom: "padded" bottom: "data"'), "'c' must have one bottom, not 2"),
    (('top: "padded"', 'top: "padded" top: "more"'), "'pad1' must have one top, not 2"),
    (('bottom: "data"', 'bottom: "nothing"'), "old:0: layer 'pad1'.*unknown bottom 'nothing'"),
    (('"relu"', '"rellu"'), "old:2: .*unknown V0 layer type 'rellu'; known are accuracy,")])
def test_v0_nets_that_can_not_be_upgraded(change, what):
    with pytest.raises(NetError, match=what):
        upgraded(PADDED.replace(*change).replace("KIND", "conv"))


def test_input_fields():
    layer = net_of('layer { name: "r" type: "ReLU" bottom: "a" top: "b" }')
    new = """layer { name: "input" type: "Input" top: "a" top: "c" input_param {
        shape { dim: 1 dim: 2 dim: 3 dim: 4 } shape { dim: 5 dim: 6 dim: 7 dim: 8 } } }"""
    sizes = " ".join(f"input_dim: {i}" for i in range(1, 9))
    assert_becomes(f'input: "a" input: "c" {sizes} {layer}', f"{new} {layer}")
    shapes = "input_shape { dim: 1 } input_shape { }"
    assert_becomes(f'input: "a" input: "c" {shapes} {layer}',
                   'layer { name: "input" type: "Input" top: "a" top: "c" input_param { '
                   f'shape {{ dim: 1 }} shape {{ }} }} }} {layer}')
    assert_becomes(f'input: "a" {layer}', str(layer))           # in weights files
    for wrong in "input_dim: 1", "input_shape { } input_shape { }":
        with pytest.raises(NetError, match="old: 1 inputs need as many input_shape"):
            upgraded(f'input: "a" {wrong} {layer}')


def test_batch_norm_with_three_params():
    assert_becomes('layer { name: "b" type: "BatchNorm" param { lr_mult: 0 } param { } param { } }',
                   'layer { name: "b" type: "BatchNorm" }')
    two = net_of('layer { type: "BatchNorm" param { lr_mult: 0 } param { } }')
    assert upgrade.upgrade_net(two, ["p"], "n")[0] is two


def test_both_formats_at_once_are_refused():
    with pytest.raises(NetError, match="old: has both `layer` and `layers`"):
        upgraded('layer { name: "a" type: "ReLU" } layers { name: "b" type: RELU }')


def test_one_warning_names_the_file_and_upgrading_again_changes_nothing(caplog):
    net, places = upgraded(PADDED.replace("KIND", "conv"), "deploy.prototxt")
    assert len(caplog.records) == 1 and caplog.records[0].levelno == logging.WARNING
    assert "deploy.prototxt: upgraded from an old form: format V0" in caplog.text
    assert upgrade.upgrade_net(net, places, "again") == (net, places)
    assert len(caplog.records) == 1


OLD_NET = """
name: "Old"
input: "data" input_dim: 2 input_dim: 1 input_dim: 12 input_dim: 12
layers { layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 3
    weight_filler { type: "xavier" } blobs_lr: 1. blobs_lr: 2. } bottom: "data" top: "conv1" }
layers { layer { name: "pool1" type: "pool" pool: MAX kernelsize: 2 stride: 2 }
    bottom: "conv1" top: "pool1" }
layers { layer { name: "norm1" type: "lrn" local_size: 3 } bottom: "pool1" top: "norm1" }
layers { layer { name: "pad2" type: "padding" pad: 1 } bottom: "norm1" top: "pad2" }
layers { layer { name: "conv2" type: "conv" num_output: 6 group: 2 kernelsize: 3
    weight_filler { type: "xavier" } } bottom: "pad2" top: "conv2" }
layers { layer { name: "relu2" type: "relu" } bottom: "conv2" top: "conv2" }
layers { layer { name: "drop2" type: "dropout" } bottom: "conv2" top: "conv2" }
layers { layer { name: "ip" type: "innerproduct" num_output: 3 weight_filler { type: "xavier" } }
    bottom: "conv2" top: "ip" }
layers { layer { name: "prob" type: "softmax" } bottom: "ip" top: "prob" }
"""
V1_NET = """
input: "data" input_shape { dim: 2 dim: 1 dim: 12 dim: 12 }
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2
    convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layers { name: "pool1" type: POOLING bottom: "conv1" top: "pool1"
    pooling_param { kernel_size: 2 stride: 2 } }
layers { name: "norm1" type: LRN bottom: "pool1" top: "norm1" lrn_param { local_size: 3 } }
layers { name: "conv2" type: CONVOLUTION bottom: "norm1" top: "conv2" convolution_param {
    num_output: 6 group: 2 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layers { name: "relu2" type: RELU bottom: "conv2" top: "conv2" }
layers { name: "drop2" type: DROPOUT bottom: "conv2" top: "conv2" }
layers { name: "ip" type: INNER_PRODUCT bottom: "conv2" top: "ip"
    inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layers { name: "prob" type: SOFTMAX bottom: "ip" top: "prob" }
"""
NEW_NET = """
layer { name: "data" type: "Input" top: "data"
    input_param { shape { dim: 2 dim: 1 dim: 12 dim: 12 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 }
    param { lr_mult: 2 }
    convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
    pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { local_size: 3 } }
layer { name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2" convolution_param {
    num_output: 6 group: 2 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "drop2" type: "Dropout" bottom: "conv2" top: "conv2" }
layer { name: "ip" type: "InnerProduct" bottom: "conv2" top: "ip"
    inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def files(tmp_path):
    paths = {}
    for name, source in ("old", OLD_NET), ("v1", V1_NET), ("new", NEW_NET):
        paths[name] = tmp_path / f"{name}.prototxt"
        paths[name].write_text(source)
    return paths


@pytest.mark.parametrize("name", ["old", "v1"])
class TestWholeNet:
    def test_gives_the_same_net(self, files, name, caplog):
        old, new = (caffe.Net(str(files[n]), caffe.TEST, seed=1) for n in (name, "new"))
        assert {n: b.shape for n, b in old.blobs.items()} == \
            {n: b.shape for n, b in new.blobs.items()}
        x = np.random.default_rng(0).normal(size=(2, 1, 12, 12))
        assert_array_equal(old.forward(data=x)["prob"], new.forward(data=x)["prob"])
        assert list(old.params_lr) == list(new.params_lr) == [1, 2, 1, 1, 1, 1]
        assert len(caplog.records) == 1 and f"{name}.prototxt: upgraded" in caplog.text

    def test_errors_keep_their_lines(self, files, name):
        files[name].write_text(files[name].read_text().replace("group: 2", "group: 3"))
        line = 1 + next(i for i, text in enumerate(files[name].read_text().split("\n"))
                        if '"conv2"' in text)
        with pytest.raises(LayerError, match=f"{name}.prototxt:{line}: layer 'conv2'"):
            caffe.Net(str(files[name]), caffe.TEST)

    def test_as_a_message_too(self, files, name):
        message, _ = text.read_net(files[name])
        before = message.SerializeToString()
        assert "conv2" in caffe.Net(message, caffe.TEST).params
        assert message.SerializeToString() == before

    def test_weights_in_the_old_format(self, files, name, tmp_path, caplog):
        net = caffe.Net(str(files["new"]), caffe.TEST, seed=1)
        message, _ = text.read_net(files[name])
        for layer in message.layers:
            holder = layer.layer if name == "old" else layer
            for blob in net.params.get(holder.name, []):
                proto = holder.blobs.add(data=blob.data.ravel())
                sizes = (1,) * (4 - len(blob.shape)) + blob.shape
                proto.num, proto.channels, proto.height, proto.width = sizes
        path = tmp_path / "old.caffemodel"
        weights.write_binary(message, path)
        other = caffe.Net(str(files["new"]), caffe.TEST, seed=2)
        other.copy_from(str(path))
        for layer, blobs in net.params.items():
            for a, b in zip(blobs, other.params[layer], strict=True):
                assert_array_equal(a.data, b.data)
        assert f"{path}: upgraded" in caplog.text

    def test_files_text_and_binary(self, files, name, tmp_path):
        out = tmp_path / "out"
        assert "format V" in upgrade.upgrade_net_file(files[name], out)
        message, _ = text.read_net(out)
        assert upgrade.net_age(message) is None and message.layer[4].name == "conv2"
        assert upgrade.upgrade_net_file(out, tmp_path / "twice") is None
        assert out.read_bytes() == (tmp_path / "twice").read_bytes()
        weights.write_binary(text.read_net(files[name])[0], tmp_path / "binary")
        upgrade.upgrade_net_file(tmp_path / "binary", tmp_path / "binary")
        assert weights.read_net_weights(tmp_path / "binary") == message


@pytest.mark.parametrize("old, new", [("SGD", "SGD"), ("NESTEROV", "Nesterov"), ("ADAGRAD", "AdaGrad"),
                                      ("RMSPROP", "RMSProp"), ("ADADELTA", "AdaDelta"),
                                      ("ADAM", "Adam")])
def test_solver_types(old, new, caplog, tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_text(f'solver_type: {old} base_lr: 0.1 lr_policy: "fixed" net_param {{ {NEW_NET} }}')
    solver = caffe.get_solver(str(path))
    assert solver.type == solver.param.type == new and not solver.param.HasField("solver_type")
    assert len(caplog.records) == 1 and f"{path}: upgraded" in caplog.text
    assert upgrade.upgrade_solver_file(path, tmp_path / "new")
    assert text.read_solver(tmp_path / "new") == solver.param
    assert not upgrade.upgrade_solver_file(tmp_path / "new", tmp_path / "new")
    assert caffe.get_solver(upgrade.read_solver(path)).type == new


def test_solver_with_both_types():
    param = caffe_pb2.SolverParameter(solver_type="ADAM", type="Adam")
    with pytest.raises(SolverError, match="solver: has both the old solver_type and type"):
        caffe.get_solver(param)
