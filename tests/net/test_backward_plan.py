"""What is computed going back: all that is asked for, with the right values, and nothing else."""

import numpy as np
import pytest
from net_helpers import build, inputs, ip, layer
from numpy.testing import assert_array_equal

import minicaffe as caffe
from minicaffe.errors import LayerError

DATA = inputs(x=(4, 5), label=(4,))
LOSS = layer("loss", "SoftmaxWithLoss", "c label", top="loss")
FIXED = "param { lr_mult: 0 } param { lr_mult: 0 }"


def run(source, **options):
    """The net after a backward pass, and the names of layers whose backward was called."""
    net, called = build(source, **options), []
    for item in net.layers:
        item.backward = watched(item, called)
    net.forward()
    net.backward()
    return net, called


def watched(item, called):
    backward = item.backward

    def wrapper(top, propagate_down, bottom):
        called.append((item.name, list(propagate_down)))
        backward(top, propagate_down, bottom)
    return wrapper


def chain(a="", b="", c="", before="", after=""):
    return before + DATA + ip("a", "x", more=a) + layer("r", "ReLU", "a", "a") \
        + ip("b", "a", more=b) + ip("c", "b", more=c) + LOSS + after


def test_everything_learnt_but_the_input():
    _, called = run(chain())
    assert called == [("loss", [True, False]), ("c", [True]), ("b", [True]), ("r", [True]),
                      ("a", [False])]


def test_below_the_lowest_learnt_layer_nothing_runs():
    net, called = run(chain(a=FIXED))
    assert called == [("loss", [True, False]), ("c", [True]), ("b", [False])]
    assert not net.params["a"][0].diff.any()


def test_a_fixed_layer_in_between_hands_on():
    net, called = run(chain(b=FIXED))
    assert [name for name, _ in called] == ["loss", "c", "b", "r", "a"]
    assert not net.params["b"][0].diff.any() and net.params["a"][0].diff.any()


def test_one_fixed_parameter_of_two():
    net, _ = run(chain(b="param { lr_mult: 0 } param { lr_mult: 1 }"))
    assert not net.params["b"][0].diff.any() and net.params["b"][1].diff.any()


def test_nothing_is_learnt():
    _, called = run(chain(FIXED, FIXED, FIXED))
    assert called == []


def test_propagate_down_false_stops_there():
    net, called = run(chain(b="propagate_down: false"))
    assert called == [("loss", [True, False]), ("c", [True]), ("b", [False])]
    assert net.params["b"][0].diff.any() and not net.params["a"][0].diff.any()


def test_propagate_down_true_alone_starts_nothing():
    _, called = run(chain(a=FIXED, b=FIXED + " propagate_down: true", c=FIXED))
    assert called == []


def test_propagate_down_true_hands_on_to_an_input():
    net, called = run(chain(a="propagate_down: true"))
    assert called[-1] == ("a", [True])
    assert net.blobs["x"].diff.any()


def test_propagate_down_needs_an_entry_a_bottom():
    with pytest.raises(LayerError, match="propagate_down is given 1 times for 2 bottoms"):
        build(DATA + ip("c", "x") + LOSS.replace("top:", "propagate_down: true top:"))


def test_labels_refuse_a_gradient():
    source = DATA + ip("c", "x") + layer("learnt", "InnerProduct", "label", more="""
        inner_product_param { num_output: 4 axis: 0 }""")
    with pytest.raises(LayerError, match="labels .bottom 1. have no gradient"):
        run(source + layer("loss", "SoftmaxWithLoss", "c learnt"))


def test_what_no_loss_depends_on_does_not_run():
    side = ip("side", "b") + layer("more", "ReLU", "side")
    net, called = run(chain(after=side))
    assert {"side", "more"}.isdisjoint(name for name, _ in called)
    assert not net.params["side"][0].diff.any()


@pytest.mark.parametrize("more", [layer("quiet", "Silence", "b", ""),
                                  layer("acc", "Accuracy", "b label"),
                                  ip("side", "b")])
def test_readers_without_a_loss_leave_the_gradient_alone(more):
    plain, net = run(chain())[0], run(chain(after=more))[0]
    for name in "abc":
        for one, other in zip(plain.params[name], net.params[name]):
            assert_array_equal(one.diff, other.diff)


def test_without_a_loss_nothing_runs():
    assert run(DATA + ip("c", "x"))[1] == []


def test_force_backward_computes_all_that_can_be():
    net, called = run(chain(FIXED, FIXED, FIXED, before="force_backward: true ",
                            after=ip("side", "b")))
    assert [name for name, _ in called if "split" not in name] == \
        ["side", "loss", "c", "b", "r", "a", "in"]
    assert dict(called)["loss"] == [True, False]
    assert net.blobs["x"].diff.any() and net.params["a"][1].diff.any()


def test_force_backward_before_a_silence():
    net, _ = run(chain(before="force_backward: true ", after=layer("quiet", "Silence", "x b", "")))
    plain, _ = run(chain(before="force_backward: true "))
    assert_array_equal(net.blobs["x"].diff, plain.blobs["x"].diff)
    assert_array_equal(net.params["a"][0].diff, plain.params["a"][0].diff)


# ---- against the idea itself: leaving out must not change what is computed

def random_net(rng):
    """A random graph of layers, some fixed, some in place, some to nowhere; and its losses."""
    source, blobs, read = DATA, ["x"], {"x"}
    for i in range(rng.integers(3, 9)):
        kind, name = rng.choice(["ip", "tanh", "in place", "sum"]), f"l{i}"
        bottom = rng.choice(blobs)
        if kind == "in place":
            if bottom not in read:              # or its reader would see another value
                source += layer(name, "Sigmoid", bottom, bottom)
            continue
        bottoms = [bottom] if kind != "sum" else [bottom, rng.choice(blobs)]
        if kind == "ip":
            mults = " ".join(f"param {{ lr_mult: {rng.integers(2)} }}" for _ in range(2))
            source += ip(name, bottom, 5, more=mults + rng.choice(["", " propagate_down: true"]))
        else:
            source += layer(name, "TanH" if kind == "tanh" else "Eltwise", " ".join(bottoms))
        blobs.append(name)
        read.update(bottoms)
    for k in range(rng.integers(0, 3)):
        source += layer(f"loss{k}", "SoftmaxWithLoss", f"{rng.choice(blobs)} label",
                        more=f"loss_weight: {k + 1}")
    return source


@pytest.mark.parametrize("seed", range(60))
def test_what_is_computed_equals_computing_everything(seed):
    source = random_net(np.random.default_rng(seed))
    net, called = run(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minicaffe.net.backward_plan.BackwardPlan.prune", compute_everything)
        everything, _ = run(source)
    learnt = zip(net.learnable_params, everything.learnable_params, net.params_lr)
    for mine, full, lr in learnt:
        if lr:
            np.testing.assert_allclose(mine.diff, full.diff, rtol=1e-9, atol=1e-12)
        else:
            assert not mine.diff.any()
    for name, propagate_down in called:          # nobody works for nothing
        item = net.layer_dict[name]
        assert any(propagate_down) or any(item.param_propagate_down)


def compute_everything(plan, layers, bottom_names, top_names):
    plan.need_backward = [True] * len(layers)
    plan.bottom_need_backward = [[item.allow_force_backward(j) and "label" not in name
                                  for j, name in enumerate(names)]
                                 for item, names in zip(layers, bottom_names)]
    for item in layers:
        item.param_propagate_down = [True] * len(item.blobs)


def test_the_test_phase_goes_back_too():
    """pycaffe users look at gradients of nets in phase TEST."""
    net, called = run(chain(), phase=caffe.TEST)
    assert len(called) == 5 and net.params["a"][0].diff.any()
