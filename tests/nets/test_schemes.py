"""The training schemes are Table 3.14's, and solvers follow them."""

import pytest

from minicaffe import nets
from minicaffe.errors import Error
from minicaffe.proto import caffe_pb2
from minicaffe.solver.lr_policy import LearningRate


def rates(solver, epochs, epoch):
    """The learning rate in the middle of each of these epochs."""
    rate, wanted = LearningRate(solver), {int((e + 0.5) * epoch): e for e in epochs}
    found = {}
    for i in range(solver.max_iter):
        value = rate(i)
        if i in wanted:
            found[wanted[i]] = value
    return found


@pytest.mark.parametrize("scheme, data, epoch, expected", [
    ("mlp7", "mnist", 469, {0: 0.01, 29: 0.01, 30: 0.001, 59: 0.001, 60: 1e-4, 89: 1e-4}),
    ("mlp_n", "mnist", 469, {0: 1e-3, 99: 1e-3}),
    ("mlp_n_cifar10", "cifar10", 391, {59: 1e-3, 60: 1e-4, 120: 1e-5, 199: 1e-6}),
    ("vanilla_cnn", "cifar10", 391, {49: 0.01, 50: 0.001, 149: 0.001, 150: 1e-4, 199: 1e-4}),
    ("vanilla_cnn", "cinic10", 704, {0: 0.01, 50: 0.001}),
    ("resnet", "cifar10", 391, {99: 0.1, 100: 0.01, 150: 0.001, 199: 0.001}),
    ("resnet18", "cifar100", 391, {59: 0.1, 60: 0.02, 120: 0.004, 160: 0.0008, 199: 0.0008}),
    ("lip_conv_net", "cifar10", 391, {49: 0.01, 50: 0.001, 150: 1e-4}),
    ("vgg", "cifar10", 391, {59: 0.1, 60: 0.02, 120: 0.004, 199: 0.004})])
def test_rates(scheme, data, epoch, expected):
    solver = nets.solver(scheme, "prototxt/x/net.prototxt", data)
    epochs = {"mlp7": 90, "mlp_n": 100}.get(scheme, 200)
    assert solver.max_iter == epochs * epoch
    found = rates(solver, expected, epoch)
    assert found == {e: pytest.approx(value, rel=1e-5) for e, value in expected.items()}


def test_cosine_with_warm_up():
    """Mixers: 5 epochs of linear rise, then from 1e-3 to 1e-6 over the 300 epochs."""
    solver = nets.solver("mixer", "prototxt/mixer/net.prototxt", "cifar10")
    assert (solver.type, solver.max_iter, solver.warmup_iter) == ("Adam", 300 * 391, 5 * 391)
    assert solver.momentum == pytest.approx(0.9) and solver.momentum2 == pytest.approx(0.99)
    rate = LearningRate(solver)
    assert rate(0) == 0 and rate(5 * 391 // 2) == pytest.approx(0.5e-3, rel=1e-3)
    assert rate(150 * 391) == pytest.approx((1e-3 + 1e-6) / 2, rel=1e-4)
    assert rate(300 * 391) == pytest.approx(1e-6, rel=1e-4)


def test_cosine_of_vanilla_cnns():
    """CINIC-10, CIFAR-100: 1 epoch of warm-up; the deepest nets on CIFAR-10 have 10."""
    solver = nets.solver("vanilla_cnn_cosine", "x.prototxt", "cinic10")
    assert (solver.lr_policy, solver.warmup_iter, solver.max_iter) == ("cosine", 704, 200 * 704)
    assert LearningRate(solver)(100 * 704) == pytest.approx(0.005, rel=1e-4)
    deep = nets.solver("vanilla_cnn_cosine", "x.prototxt", "cifar10", warmup_epochs=10)
    assert deep.warmup_iter == 3910


@pytest.mark.parametrize("scheme, weight_decay, type_name", [
    ("mlp7", 5e-4, "SGD"), ("mlp_n", 1e-4, "SGD"), ("mixer", 5e-4, "Adam"),
    ("vanilla_cnn", 1e-4, "SGD"), ("resnet", 5e-4, "SGD"), ("resnet18", 5e-4, "Nesterov"),
    ("lip_conv_net", 5e-4, "SGD"), ("vgg", 1e-4, "SGD")])
def test_weight_decay_and_type(scheme, weight_decay, type_name):
    solver = nets.solver(scheme, "net.prototxt", "cifar10")
    assert solver.weight_decay == pytest.approx(weight_decay) and solver.type == type_name
    assert solver.momentum == pytest.approx(0.9)


def test_batches_epochs_and_files():
    solver = nets.solver("mlp_n", "prototxt/mlp/x.prototxt", "mnist", batch_size=100, epochs=10,
                         base_lr=0.25)
    assert (solver.max_iter, solver.test_interval, list(solver.test_iter)) == (6000, 600, [100])
    assert (solver.net, solver.snapshot_prefix) == ("prototxt/mlp/x.prototxt", "runs/x")
    assert solver.base_lr == 0.25 and solver.lr_policy == "fixed"
    assert isinstance(solver, caffe_pb2.SolverParameter)
    assert nets.solver("vgg", "x.prototxt", "cifar10", prefix="out/y").snapshot_prefix == "out/y"


def test_rates_by_depth():
    assert [nets.mlp_n_rate(n) for n in (50, 200, 400, 600, 1000)] == [1e-2, 1e-2, 1e-3, 1e-4, 1e-4]
    assert [nets.vanilla_cnn_rate(n) for n in (8, 32, 128, 256, 512, 768)] == \
        [1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4]                                        # Table 3.8


def test_unknown_names():
    with pytest.raises(Error, match="unknown scheme 'resnet20'"):
        nets.solver("resnet20", "x.prototxt", "cifar10")
    with pytest.raises(Error, match="unknown data 'cifar'"):
        nets.solver("resnet", "x.prototxt", "cifar")
    with pytest.raises(Error, match="unknown field 'epoch': did you mean 'epochs'"):
        nets.solver("resnet", "x.prototxt", "cifar10", epoch=3)
