import numpy as np
import pytest
from google.protobuf import text_format
from helpers import make_layer

from minicaffe import Net
from minicaffe.analysis.central_differences import compare, make_settings
from minicaffe.analysis.gradient_check import check_layer, check_net
from minicaffe.errors import Error
from minicaffe.layers import layer_class
from minicaffe.proto import caffe_pb2

LENET_LIKE = """
name: "small"
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 3 dim: 2 dim: 8 dim: 8 } shape { dim: 3 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
        pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "drop" }
layer { name: "flat" type: "Flatten" bottom: "drop" top: "flat" }
layer { name: "ip" type: "InnerProduct" bottom: "flat" top: "ip"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def build(text, seed=1, **options):
    net = Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe_pb2.TRAIN,
              dtype=np.float64, seed=seed, **options)
    rng = np.random.default_rng(seed)
    for name in net.inputs:
        shape = net.blobs[name].shape
        net.blobs[name].data[...] = rng.integers(5, size=shape) if name == "label" \
            else rng.normal(size=shape)
    return net


def plant(monkeypatch, type_name, spoil):
    """Let backward of a layer type end with spoil(layer, bottom)."""
    cls = layer_class(type_name)
    original = cls.backward

    def backward(self, top, propagate_down, bottom):
        original(self, top, propagate_down, bottom)
        spoil(self, bottom)
    monkeypatch.setattr(cls, "backward", backward)


def make_ip(**options):
    return make_layer("InnerProduct", (3, 4), num_output=5, **options)


class TestCheckLayer:
    def test_right_gradients(self):
        results = check_layer(*make_ip())
        assert [(r.layer, r.blob, r.count, r.ok, r.kinks, r.note) for r in results] == [
            ("layer", "weights 0", 20, True, 0, ""), ("layer", "weights 1", 5, True, 0, ""),
            ("layer", "bottom0", 12, True, 0, "")]
        assert max(r.max_rel_error for r in results) < 1e-8

    def test_names_the_worst_entry(self, monkeypatch):
        def spoil(layer, bottom):
            layer.blobs[0].diff[2, 3] += 0.25
            layer.blobs[0].diff[1, 1] += 0.125
        plant(monkeypatch, "InnerProduct", spoil)
        weights, bias, bottom = check_layer(*make_ip())
        assert not weights.ok and bias.ok and bottom.ok
        assert weights.index == (2, 3) and weights.max_abs_error == pytest.approx(0.25)
        assert weights.analytic - weights.numeric == pytest.approx(0.25)
        assert weights.max_rel_error == pytest.approx(0.25 / max(1, abs(weights.numeric)))

    def test_an_error_just_above_the_tolerance(self, monkeypatch):
        def spoil(layer, bottom):
            bottom[0].diff[...] += 2e-6 * np.maximum(1, abs(bottom[0].diff))
        plant(monkeypatch, "InnerProduct", spoil)
        assert not check_layer(*make_ip())[2].ok
        assert check_layer(*make_ip(), tolerance=1e-5)[2].ok

    def test_a_bottom_diff_that_is_not_written(self, monkeypatch):
        monkeypatch.setattr(layer_class("TanH"), "backward", lambda *arguments: None)
        result, = check_layer(*make_layer("TanH", (2, 3)))
        assert not result.ok and result.max_abs_error == result.max_rel_error == np.inf

    def test_parameter_diffs_that_are_overwritten(self, monkeypatch):
        cls = layer_class("InnerProduct")
        original = cls.backward

        def backward(self, top, propagate_down, bottom):
            self.blobs[1].diff[...] = 0
            original(self, top, propagate_down, bottom)
        monkeypatch.setattr(cls, "backward", backward)
        assert [(r.ok, r.note) for r in check_layer(*make_ip())] == [
            (True, ""), (False, "the diff is overwritten, not added to"), (True, "")]

    def test_everything_is_put_back(self):
        layer, bottom, top = make_layer("Dropout", (4, 5), in_place=True)
        data, state = bottom[0].data.copy(), layer.rng.bit_generator.state
        check_layer(layer, bottom, top)
        assert (bottom[0].data == data).all() and layer.rng.bit_generator.state == state
        layer, bottom, top = make_layer("EuclideanLoss", [(2, 3), (2, 3)],
                                        also={"loss_weight": [3]})
        check_layer(layer, bottom, top)
        assert top[0].diff == 3

    def test_propagate_down_and_param_propagate_down_choose(self):
        layer, bottom, top = make_ip()
        layer.param_propagate_down[0] = False
        assert [r.blob for r in check_layer(layer, bottom, top, [False])] == ["weights 1"]

    def test_samples(self):
        first, second = (check_layer(*make_ip(), samples=7) for _ in range(2))
        assert [r.count for r in first] == [7, 5, 7] and first == second

    def test_samples_are_taken_from_everywhere(self):
        seen = []
        settings = make_settings(np.dtype(np.float64), None, None, 1.0, 20, None)
        compare("layer", "blob", None, np.zeros((10, 100)),
                lambda blob, index, delta: seen.append(index) or 0.0, settings)
        assert len(set(seen)) == 20 and len({i for i, j in seen}) > 5 and max(seen) > (7, 0)

    def test_float32(self, monkeypatch):
        assert all(r.ok for r in check_layer(*make_ip(dtype=np.float32)))
        plant(monkeypatch, "InnerProduct", lambda layer, bottom: bottom[0].diff.__imul__(1.2))
        assert not check_layer(*make_ip(dtype=np.float32))[2].ok


class TestKinks:
    @pytest.mark.parametrize("x", [0.0, 3e-6, -3e-6, 2e-8])
    def test_are_counted_and_not_taken_for_errors(self, x):
        result, = check_layer(*make_layer("ReLU", (2,), values={0: [x, 1]}, negative_slope=0.1))
        assert result.ok and result.kinks == 1 and result.count == 2

    @pytest.mark.parametrize("x", [0.0, 3e-6, -3e-6])
    def test_do_not_hide_a_wrong_gradient(self, monkeypatch, x):
        plant(monkeypatch, "ReLU", lambda layer, bottom: bottom[0].diff.__imul__(-1.5))
        result, = check_layer(*make_layer("ReLU", (1,), values={0: [x]}, negative_slope=0.1))
        assert not result.ok and result.kinks == 0

    def test_a_smooth_function_has_none(self, monkeypatch):
        plant(monkeypatch, "Sigmoid", lambda layer, bottom: bottom[0].diff.__iadd__(1e-4))
        result, = check_layer(*make_layer("Sigmoid", (5,)))
        assert not result.ok and result.kinks == 0

    @pytest.mark.parametrize("g, ok", [(0.0, True), (4e-4, False)])
    def test_are_not_seen_where_a_smooth_function_curves_strongly(self, g, ok):
        def objective(blob, index, delta):
            return 1e4 * delta ** 2
        settings = make_settings(np.dtype(np.float64), None, None, 1.0, None, None)
        result = compare("layer", "blob", None, np.array([g]), objective, settings)
        assert result.ok == ok and result.kinks == 0

    def test_in_max_pooling_ties(self):
        layer, bottom, top = make_layer("Pooling", (1, 1, 4, 4), values={0: np.ones((1, 1, 4, 4))},
                                        pool="MAX", kernel_size=2, stride=2)
        result, = check_layer(layer, bottom, top)
        assert result.ok and result.kinks == 16


class TestCheckNet:
    def test_right_gradients_of_every_layer(self):
        results = check_net(build(LENET_LIKE))
        assert all(r.ok for r in results), results
        assert [(r.layer, r.blob) for r in results if r.count] == [
            ("conv", "weights 0"), ("conv", "weights 1"), ("relu", "conv"), ("pool", "conv"),
            ("drop", "pool"), ("flat", "drop"), ("ip", "weights 0"), ("ip", "weights 1"),
            ("ip", "flat"), ("ip_ip_0_split", "ip"), ("loss", "ip_ip_0_split_1")]
        assert {r.count for r in results} == {4, 5, 15, 50}

    def test_force_backward_reaches_the_data(self):
        results = check_net(build("force_backward: true " + LENET_LIKE), layer="conv")
        assert [r.blob for r in results] == ["weights 0", "weights 1", "data"]
        assert all(r.ok for r in results)

    @pytest.mark.parametrize("type_name, layer", [("ReLU", "relu"), ("Pooling", "pool"),
                                                  ("Dropout", "drop"), ("InnerProduct", "ip")])
    def test_a_wrong_bottom_gradient_shows_at_its_layer_and_below(self, monkeypatch, type_name,
                                                                  layer):
        plant(monkeypatch, type_name, lambda layer, bottom: bottom[0].diff.__imul__(1.01))
        wrong = {r.layer for r in check_net(build(LENET_LIKE)) if not r.ok}
        order = ["conv", "relu", "pool", "drop", "flat", "ip"]
        assert wrong == set(order[:order.index(layer) + 1]) - ({"ip"} - {layer})

    def test_a_wrong_parameter_gradient_shows_alone(self, monkeypatch):
        plant(monkeypatch, "Convolution", lambda layer, bottom: layer.blobs[1].diff.__imul__(1.01))
        wrong = [(r.layer, r.blob) for r in check_net(build(LENET_LIKE)) if not r.ok]
        assert wrong == [("conv", "weights 1")]

    def test_a_wrong_sum_in_split(self, monkeypatch):
        text = LENET_LIKE + """
            layer { name: "t" type: "TanH" bottom: "ip" top: "t" loss_weight: 2 }"""
        assert all(r.ok for r in check_net(build(text)))
        plant(monkeypatch, "Split", lambda layer, bottom: bottom[0].diff.__imul__(0.5))
        assert [r.blob for r in check_net(build(text), layer="ip_ip_0_split") if not r.ok] == ["ip"]
        assert all(r.ok for r in check_net(build(text), layer="t"))

    def test_two_runs_find_the_same_and_leave_the_net_as_it_was(self):
        net = build(LENET_LIKE)
        weights = [blob.data.copy() for blobs in net.params.values() for blob in blobs]
        before = float(net.forward()["loss"])
        net = build(LENET_LIKE)
        assert check_net(net) == check_net(net)
        assert float(net.forward()["loss"]) == before
        after = [blob.data for blobs in net.params.values() for blob in blobs]
        assert all((a == b).all() for a, b in zip(weights, after))

    def test_shared_parameters(self):
        net = build("""
            layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 4 } } }
            layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
                    inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
            layer { name: "t" type: "TanH" bottom: "a" top: "a" }
            layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
                    inner_product_param { num_output: 4 } }
            layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "data" top: "loss" }""")
        results = check_net(net)
        assert all(r.ok for r in results)
        assert [r.blob for r in results if r.layer == "b"] == ["weights 0", "weights 1", "a"]

    def test_a_view_of_a_blob_that_others_read_is_not_compared(self):
        net = build("""
            layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 } } }
            layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
                    inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
            layer { name: "view" type: "Reshape" bottom: "ip" top: "view"
                    reshape_param { shape { dim: 2 dim: 3 dim: 2 } } }
            layer { name: "s1" type: "Softmax" bottom: "view" top: "s1" loss_weight: 2 }
            layer { name: "t" type: "TanH" bottom: "ip" top: "t" loss_weight: 3 }
            layer { name: "end" type: "Silence" bottom: "s1" bottom: "t" }""")
        view, = check_net(net, layer="view")
        assert view.count == 0 and view.ok and "other layers read the same memory" in view.note
        assert all(r.ok for r in check_net(net))

    def test_a_net_without_loss_takes_random_diffs_of_its_outputs(self, monkeypatch):
        text = """force_backward: true
            layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 4 } } }
            layer { name: "t" type: "TanH" bottom: "data" top: "t" }
            layer { name: "s" type: "Softmax" bottom: "t" top: "s" }"""
        assert [(r.layer, r.count, r.ok) for r in check_net(build(text))] == [
            ("t", 12, True), ("s", 12, True)]
        plant(monkeypatch, "TanH", lambda layer, bottom: bottom[0].diff.__imul__(1.01))
        assert [r.ok for r in check_net(build(text))] == [False, True]

    def test_data_layers_stay_at_one_batch(self, tmp_path):
        rng = np.random.default_rng(0)
        np.savez(tmp_path / "set.npz", images=rng.integers(256, size=(20, 1, 2, 3), dtype=np.uint8),
                 labels=rng.integers(5, size=20))
        net = build(f"""
            layer {{ name: "d" type: "Data" top: "x" top: "y" transform_param {{ scale: 0.01 }}
                    data_param {{ source: "{tmp_path}/set.npz" backend: NPZ batch_size: 3 }} }}
            layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
                    inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
            layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "l" }}""")
        net.forward()
        results = check_net(net)
        assert all(r.ok for r in results) and net.layers[0].position == 1
        net.close()

    def test_inputs_that_a_layer_changes_in_place(self):
        results = check_net(build("""force_backward: true
            layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 4 } } }
            layer { name: "t" type: "TanH" bottom: "data" top: "data" }
            layer { name: "s" type: "Softmax" bottom: "data" top: "s" loss_weight: 1 }
            layer { name: "u" type: "TanH" bottom: "s" top: "u" loss_weight: 2 }"""))
        assert all(r.ok for r in results) and results[0][:2] == ("t", "data")

    def test_dummy_data_stays_at_one_batch(self):
        results = check_net(build("""
            layer { name: "d" type: "DummyData" top: "x" top: "y"
                    dummy_data_param { shape { dim: 3 dim: 4 } data_filler { type: "gaussian" } } }
            layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
                    inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
            layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }"""))
        assert [r.count for r in results] == [16, 4, 12] and all(r.ok for r in results)

    def test_unknown_layer(self):
        with pytest.raises(Error, match="the net has no layer 'cnv'; its layers are data, label_"):
            check_net(build(LENET_LIKE), layer="cnv")

    def test_nothing_to_check(self):
        with pytest.raises(Error, match="layer 'accuracy' has no gradient to check"):
            check_net(build(LENET_LIKE), layer="accuracy")
