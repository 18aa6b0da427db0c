import re

import numpy as np
import pytest

import minicaffe


@pytest.fixture
def weights(train, folder):
    assert train().code == 0
    return "out/net_iter_8.caffemodel"


def test_batches_and_means_are_the_nets_own(run_tool, weights):
    result = run_tool("test", "net.prototxt", weights, "--iterations", 6)
    assert result.code == 0 and result.err == ""
    net = minicaffe.Net("net.prototxt", minicaffe.TEST, weights=weights)
    batches = [{k: float(v) for k, v in net.forward().items()} for _ in range(6)]
    expected = [f"Batch {i}, {name} = {batch[name]:g}" for i, batch in enumerate(batches)
                for name in ("accuracy", "loss")]
    loss = np.mean([batch["loss"] for batch in batches])
    accuracy = np.mean([batch["accuracy"] for batch in batches])
    expected += [f"Loss: {loss:g}", f"accuracy = {accuracy:g}",
                 f"loss = {loss:g} (* 1 = {loss:g} loss)"]
    assert result.out.splitlines() == expected
    assert 0 < accuracy < 1 and len({batch["loss"] for batch in batches}) > 3


def test_fifty_batches_by_default(run_tool, weights):
    assert len(re.findall("Batch .* loss", run_tool("test", "net.prototxt", weights).out)) == 50


def test_loss_weight_and_every_entry_of_an_output(run_tool, folder, weights):
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace('top: "loss"', 'top: "loss" loss_weight: 3')
                   .replace('top: "accuracy"', 'top: "accuracy" top: "by class"'))
    out = run_tool("test", "net.prototxt", weights, "--iterations", 4).out
    loss, weighted = re.search(r"^loss = (\S+) \(\* 3 = (\S+) loss\)$", out, re.M).groups()
    assert float(weighted) == pytest.approx(3 * float(loss), rel=1e-4)
    assert re.search(r"^Loss: (\S+)$", out, re.M)[1] == weighted
    assert len(re.findall(r"^by class = \S+$", out, re.M)) == 3


def test_layer_without_weights_is_said(run_tool, folder, weights):
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace('name: "ip"', 'name: "new"'))
    result = run_tool("test", "net.prototxt", weights, "--iterations", 1)
    assert result.code == 0
    assert result.err.startswith(f"warning: {weights} has nothing for layer 'new'")


@pytest.mark.parametrize("edit, message", [
    (("name: \"", "name: \"other_"), "holds no weights for any layer of the net: other_conv, "
                                     "other_ip"),
    (("num_output: 3", "num_output: 5"), "layer 'ip', blob 0 has shape (3, 36) there, (5, 36) in"),
])
def test_weights_of_another_net(run_tool, folder, weights, edit, message):
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace(*edit))
    result = run_tool("test", "net.prototxt", weights)
    assert result.code == 1 and result.err.startswith(f"error: {weights}: ")
    assert message in result.err and result.err.count("\n") == 1



@pytest.mark.parametrize("arguments, message", [
    (["net.prototxt"], "required: WEIGHTS.caffemodel"),
    (["missing", "w"], "missing: can't be read: no such file"),
    (["net.prototxt", "w"], "w: can't be read: no such file"),
    (["net.prototxt", "net.prototxt"], "net.prototxt: is a text file, where a binary .caffemodel"),
    (["net.prototxt", "out/net_iter_8.solverstate"], "is a .solverstate, where a binary .caffemod"),
    (["net.prototxt", "out/net_iter_8.caffemodel", "--iterations", "0"], "at least 1, not 0"),
    (["net.prototxt", "w", "--iterations", "x"], "--iterations: invalid int value: 'x'"),
    (["net.prototxt", "w", "--gpu", "x"], "--gpu x: must be the number of a GPU, or cpu"),
])
def test_bad_input_is_one_line(run_tool, weights, arguments, message):
    result = run_tool("test", *arguments)
    assert result.code == 1 and message in result.err
    assert result.err.startswith("error: ") and result.err.count("\n") == 1


def test_stage_chooses_layers(run_tool, folder, weights):
    """A net that has data only in one of two stages, as autoencoders' files have."""
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace("phase: TEST", 'phase: TEST stage: "seen"', 1))
    assert run_tool("test", "net.prototxt", weights, "--iterations", 1).code == 1
    result = run_tool("test", "net.prototxt", weights, "--iterations", 1,
                      "--stage", "seen", "--stage", "other")
    assert result.code == 0 and result.err == "" and "accuracy = " in result.out
