import numpy as np
import pytest
from net_helpers import build, inputs, ip, layer, net_param
from numpy.testing import assert_allclose, assert_array_equal

import minicaffe as caffe
from minicaffe.backend import to_numpy
from minicaffe.errors import NetError
from minicaffe.net.units import find_removal, mask_units, smaller_net, smaller_weights

CONV = 'convolution_param { num_output: %d kernel_size: 3 weight_filler { type: "gaussian" } ' \
       'bias_filler { type: "gaussian" } }'
FILL = '{ filler { type: "gaussian" } bias_term: true bias_filler { type: "gaussian" } }'
PICTURES = inputs(x=(4, 2, 8, 8), label=(4,))
VECTORS = inputs(x=(4, 5), label=(4,))
OUT = ip("out", "end") + layer("loss", "SoftmaxWithLoss", "out label")
NETS = {
    "plain": VECTORS + ip("a", "x", 6) + layer("end", "Sigmoid", "a") + OUT,
    "SiLU": VECTORS + ip("a", "x", 6) + layer("end", "SiLU", "a") + OUT,
    "in place": VECTORS + ip("a", "x", 6, top="end") + layer("r", "ReLU", "end", "end") + OUT,
    "transposed": (VECTORS + ip("a", "x", 6) + layer("end", "TanH", "a")
                   + OUT).replace("inner_product_param {", "inner_product_param { transpose: true"),
    "two readers": VECTORS + ip("a", "x", 6, top="end") + OUT + ip("also", "end", 2),
    "filters, then neurons": PICTURES + layer("a", "Convolution", "x", more=CONV % 6)
    + layer("r", "PReLU", "a", "a")
    + layer("end", "Pooling", "a", more="pooling_param { kernel_size: 2 stride: 2 }") + OUT,
    "filters, then filters": PICTURES + layer("a", "Convolution", "x", more=CONV % 6)
    + layer("n", "BatchNorm", "a") + layer("s", "Scale", "n", more=f"scale_param {FILL}")
    + layer("e", "ELU", "s") + layer("b", "Convolution", "e", more=CONV % 3)
    + layer("end", "Flatten", "b") + OUT,
    "flattened": PICTURES + layer("a", "Convolution", "x", more=CONV % 6)
    + layer("d", "Bias", "a", more='bias_param { filler { type: "gaussian" } }')
    + layer("end", "Flatten", "d") + OUT}
OUTPUTS = {"two readers": ("out", "also")}
UNITS = [1, 4]


def expected_outputs(net, name, outputs):
    """By hand: the net with the units' outputs set to zero where the readers take them."""
    removal = find_removal(net, "a", UNITS)
    first = min(map(net._index, removal.readers))
    net.forward(end=net._layer_names[first - 1])
    for reader, entries in removal.readers.items():
        data = net.blobs[net.bottom_names[reader][0]].data
        data.reshape(len(data), -1)[:, ~entries] = 0
    net.forward(start=net._layer_names[first])
    return [to_numpy(net.blobs[output].data) for output in outputs]


@pytest.mark.parametrize("name", NETS)
class TestRemoval:
    def test_smaller_net_gives_what_the_others_give(self, xp, name):
        source = net_param(NETS[name])
        outputs = OUTPUTS.get(name, ("out",))
        net = build(NETS[name], caffe.TEST)
        for blob in [b for n in ("n", "r") for b in net.params.get(n, ())]:
            blob.data = np.random.default_rng(5).uniform(0.5, 2, blob.shape)
        if "n" in net.params:
            net.params["n"][2].data = 1
        removal = find_removal(net, "a", UNITS)
        small = caffe.Net(smaller_net(source, removal), caffe.TEST, dtype=np.float64)
        small.copy_from(smaller_weights(net, removal))
        for key in "x", "label":
            small.blobs[key].data = net.blobs[key].data
        small.forward()
        found = [to_numpy(small.blobs[output].data) for output in outputs]
        assert small.params["a"][0].shape[int(name == "transposed")] == 4
        for one, other in zip(found, expected_outputs(net, name, outputs)):
            assert_allclose(one, other, rtol=1e-6)

    def test_masked_units_give_nothing(self, xp, name):
        outputs = OUTPUTS.get(name, ("out",))
        net, same = build(NETS[name], caffe.TEST), build(NETS[name], caffe.TEST)
        mask_units(same, find_removal(same, "a", UNITS))
        same.forward()
        for output, expected in zip(outputs, expected_outputs(net, name, outputs)):
            assert_allclose(to_numpy(same.blobs[output].data), expected, rtol=1e-9, atol=1e-12)
        W = to_numpy(same.params["a"][0].data)
        assert (W.T if name == "transposed" else W)[UNITS].any() == 0


def test_masks_come_along(xp):
    net = build(NETS["plain"], caffe.TEST)
    mask = np.random.default_rng(0).random((6, 5)) < 0.5
    net.params["a"][0].mask = mask
    removal = find_removal(net, "a", [0, 5])
    small = caffe.Net(smaller_net(net_param(NETS["plain"]), removal), caffe.TEST)
    small.copy_from(smaller_weights(net, removal))
    assert_array_equal(to_numpy(small.params["a"][0].mask), mask[1:5])


LRN = layer("end", "LRN", "a", more="lrn_param { local_size: 3 }")


@pytest.mark.parametrize("text, units, message", [
    (NETS["plain"], [0, 6], "layer 'a' has the units 0 to 5, not 6"),
    (NETS["plain"], [-1], "layer 'a' has the units 0 to 5, not -1"),
    (NETS["plain"], range(6), "none of its 6 units left"),
    (VECTORS + layer("a", "TanH", "x"), [0], "'a' is of type TanH: units are removed from"),
    (VECTORS + ip("b", "x", 2), [0], "unknown layer 'a'|no layer.*'a'|'a'"),
    (VECTORS + ip("a", "x", 6), [0], "'a' is an output of the net"),
    (VECTORS + ip("a", "x", 3) + layer("loss", "SoftmaxWithLoss", "a label"), [0],
     "they reach layer 'loss' of type SoftmaxWithLoss"),
    (PICTURES + layer("a", "Convolution", "x", more=CONV % 6) + LRN + OUT, [0],
     "they reach layer 'end' of type LRN"),
    (PICTURES + layer("a", "Convolution", "x", more=CONV.replace("num", "group: 2 num") % 6)
     + layer("end", "Flatten", "a") + OUT, [0], "a convolution of 2 groups"),
    (PICTURES + layer("a", "Convolution", "x", more=CONV % 6)
     + layer("b", "Convolution", "a", more=CONV.replace("num", "group: 3 num") % 3)
     + layer("end", "Flatten", "b") + OUT, [0], "they reach layer 'b', a convolution of 3 groups"),
    (VECTORS + ip("a", "x", 5, more='param { name: "w" }') + layer("r", "ReLU", "a")
     + ip("end", "r", 5, more='param { name: "w" }') + OUT, [0],
     "parameter 'w' of a and end is shared")])
def test_what_can_not_be_removed(text, units, message):
    with pytest.raises(NetError, match=message):
        find_removal(build(text, caffe.TEST), "a", list(units))
