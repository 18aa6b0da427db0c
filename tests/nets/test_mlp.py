"""MLP-7 and MLP-N: sizes and sparsities are those of the thesis's tables."""

import math

import numpy as np
import pytest

from minicaffe import nets
from minicaffe.errors import Error
from nets_helpers import check_run, count, learnt, made, sparsities

PICTURES = (2, 1, 32, 32)


def weights(net):
    return [blobs[0].shape for blobs in learnt(net).values()]


@pytest.mark.parametrize("activation, layers", [
    ("linear", 0), ("ReLU", 6), ("TanH", 6), ("SiLU", 6)])
def test_mlp7(activation, layers):
    param = nets.mlp7(activation)
    assert sum(layer.type == activation for layer in param.layer) == layers
    net = made(param, PICTURES)
    assert weights(net) == [(100, 1024)] + 5 * [(100, 100)] + [(10, 100)]          # Table 3.3
    check_run(net)


def test_mlp7_reads_pictures_of_32_by_32():
    for layer in nets.mlp7().layer[:2]:
        assert (layer.type, layer.transform_param.resize, layer.transform_param.pad) == \
            ("Data", 32, 0)


@pytest.mark.parametrize("layers", [1, 4])
def test_mlp_n(layers):
    net = made(nets.mlp_n(layers, "default"), PICTURES)
    assert weights(net) == [(512, 1024), (256, 512)] + (layers - 1) * [(256, 256)] + [(10, 256)]
    check_run(net)


def test_activations_stand_between_the_weights_of_mlp_n():
    types = [layer.type for layer in nets.mlp_n(2).layer if "Data" not in layer.type]
    assert types == 3 * ["InnerProduct", "TanH"] + ["InnerProduct", "Accuracy", "SoftmaxWithLoss"]


def fillers(param):
    return [layer.inner_product_param.weight_filler for layer in param.layer
            if layer.type == "InnerProduct"]


def test_initialisations_of_mlp_n():
    first, *hidden, last = fillers(nets.mlp_n(4, "sao", degree=8, variant=1, structure_seed=3))
    for filler in first, *hidden:
        assert (filler.type, filler.degree, filler.variant, filler.structure_seed) == \
            ("sao", 8, 1, 3)
        assert filler.gain == pytest.approx(1.1) and not filler.HasField("sparsity")
    assert last.type == "orthogonal" and last.gain == pytest.approx(1.1)
    assert not last.HasField("degree") and not last.HasField("variant")
    *hidden, last = fillers(nets.mlp_n(4, "ramanujan", sparsity=0.75, values="NORMAL"))
    assert all((f.type, f.values, f.sparsity) == ("ramanujan", f.NORMAL, 0.75) for f in hidden)
    assert last.type == "xavier" and not last.HasField("gain")
    assert {filler.type for filler in fillers(nets.mlp_n(4))} == {"orthogonal"}


def test_mlp7_is_sparse_everywhere_and_its_first_layer_cropped():
    first, *others = fillers(nets.mlp7("TanH", "sao", sparsity=0.9))
    assert (first.type, first.degree, first.crop) == ("sao", 110, True)             # 100 x 1100
    assert not first.HasField("sparsity")
    assert all(f.type == "sao" and f.sparsity == pytest.approx(0.9) and not f.crop for f in others)
    first, *others = fillers(nets.mlp7("TanH", "sao", degree=20))
    assert first.degree == 220 and [f.degree for f in others] == 6 * [20]


def test_names():
    assert nets.mlp_n(50, "sao", degree=4).name == "MLP-50 sao degree 4"
    assert nets.mlp7("SiLU").name == "MLP-7 SiLU"
    assert nets.mlp_n(25, "default", skip=True).name == "MLP-25 with skip connections"


def test_skip_connections_go_around_one_layer():
    """x_(l+1) = tanh(W x_l + c + x_l), for the layers whose inputs and outputs are as many."""
    net = made(nets.mlp_n(3, "default", skip=True, widths=(12, 8)), PICTURES)
    net.forward()
    x = net.blobs["data"].data.reshape(2, -1)
    for i in range(1, 5):
        w, c = (blob.data for blob in net.params[f"ip{i}"])
        before = x @ w.T + c + (x if i > 2 else 0)
        x = np.tanh(before)
    w, c = (blob.data for blob in net.params["ip5"])
    np.testing.assert_allclose(net.blobs["ip5"].data, x @ w.T + c, rtol=1e-4, atol=1e-5)
    check_run(net)


@pytest.mark.parametrize("activation", ["tanh", "Softplus"])
def test_unknown_activations(activation):
    for make in nets.mlp7, lambda activation: nets.mlp_n(2, activation=activation):
        with pytest.raises(Error, match=f"unknown activation '{activation}'"):
            make(activation)


def test_what_does_not_fit():
    with pytest.raises(Error, match="needs at least 1 layer, not 0"):
        nets.mlp_n(0)
    with pytest.raises(Error, match="unknown data 'cifar100': did you mean 'cifar10'"):
        nets.mlp_n(2, data="cifar100")


@pytest.mark.parametrize("degree", [2, 4, 8])
def test_sparse_mlp_n(degree):
    net = made(nets.mlp_n(3, "sao", degree=degree), PICTURES)
    assert sparsities(net) == {"ip1": 1 - degree / 1024, "ip2": 1 - degree / 512,
                               "ip3": 1 - degree / 256, "ip4": 1 - degree / 256}
    for name in "ip3", "ip5":                         # a sparse one and the dense output layer
        singular = np.linalg.svd(net.params[name][0].data, compute_uv=False)
        np.testing.assert_allclose(singular, 1.1, rtol=1e-5)
    check_run(net)


def test_sparsity_of_mlp_50_is_the_thesiss():
    """98.6 % of all weights for d = 4 (Section 4.2.2), the dense output layer included."""
    net = made(nets.mlp_n(50, "sao", degree=4), PICTURES)
    left = sum(int(np.sum(blobs[0].mask)) if blobs[0].mask is not None else
               math.prod(blobs[0].shape) for blobs in learnt(net).values())
    assert 1 - left / count(net, biases=False) == pytest.approx(0.986, abs=0.0005)


@pytest.mark.parametrize("init, options", [("orthogonal", {}), ("sao", {"sparsity": 0.9})])
def test_mlp7_keeps_norms_through_its_relus(init, options):
    param = nets.mlp7("ReLU", init, **options)
    assert [f.relu for f in fillers(param)] == [False, *[True] * 5, False]
    net = made(param, PICTURES)
    net.forward()
    norms = [np.linalg.norm(net.blobs[f"ip{i}"].data, axis=1) for i in range(1, 7)]
    assert not np.allclose(norms[0], norms[2], rtol=0.1)
    for norm in norms[2:]:
        np.testing.assert_allclose(norm, norms[1], rtol=1e-5)
    assert not any(f.relu for f in fillers(nets.mlp7("ReLU", init, relu=False, **options)))
    assert not any(f.relu for f in fillers(nets.mlp7("TanH", init, **options)))


def test_sparse_mlp7():
    net = made(nets.mlp7("TanH", "sao", sparsity=0.9), PICTURES)
    found = sparsities(net)
    assert found == {f"ip{i}": pytest.approx(0.9, abs=0.002) for i in range(1, 8)}
    assert all(found[f"ip{i}"] == pytest.approx(0.9) for i in range(2, 8))
    assert (net.params["ip1"][0].mask.sum(axis=0) == 10).all()                    # c of (10, 110)
    np.testing.assert_allclose(np.linalg.svd(net.params["ip1"][0].data, compute_uv=False), 1,
                               rtol=1e-5)
    check_run(net)


@pytest.mark.parametrize("layers, degree, millions", [
    (4, None, 2.43), (26, 216, 2.52), (51, 108, 2.43), (101, 54, 2.38), (201, 27, 2.36)])
def test_weights_of_the_reallocation_are_table_4_3s(layers, degree, millions):
    """The table counts 25, 50, 100, 200 layers; the dense net's 4 are those of mlp_n."""
    param = nets.mlp_n(layers, "sao" if degree else "orthogonal", data="cifar10", degree=degree)
    left, inputs = 0, 3 * 36 * 36
    for layer in param.layer:
        if layer.type == "InnerProduct":
            p = layer.inner_product_param
            left += p.num_output * (p.weight_filler.degree or inputs)
            inputs = p.num_output
    assert left / 1e6 == pytest.approx(millions, abs=0.005)
