"""The training loop: its nets, tests, displays, callbacks, refusals."""

import logging
import re

import numpy as np
import pytest
from net_helpers import layer
from numpy.testing import assert_allclose, assert_array_equal
from solver_helpers import NET, batches, gradient, make_param, make_solver

import minicaffe as caffe
from minicaffe.errors import DivergedError, NetError, ParseError, SolverError
from minicaffe.proto import caffe_pb2, text

TEST_NET = NET + layer("acc", "Accuracy", "c label", more="include { phase: TEST }")

# ---- get_solver, files

def test_the_class_follows_the_type(tmp_path):
    for name in ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"):
        (tmp_path / "solver.prototxt").write_text(text.to_text(make_param(type=name)))
        solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
        assert solver.type == name and isinstance(solver, getattr(caffe, f"{name}Solver"))
    assert caffe.get_solver(make_param()).type == "SGD"
    assert isinstance(caffe.SGDSolver(str(tmp_path / "solver.prototxt")), caffe.SGDSolver)


def test_a_net_is_looked_for_beside_the_solver_too(tmp_path, monkeypatch):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net.prototxt").write_text(NET)
    solver = text.to_text(make_param(None, net="net.prototxt"))
    (tmp_path / "nets" / "solver.prototxt").write_text(solver)
    monkeypatch.chdir(tmp_path)
    assert caffe.get_solver("nets/solver.prototxt").net.name == "small"
    (tmp_path / "net.prototxt").write_text(NET.replace("small", "other"))
    assert caffe.get_solver("nets/solver.prototxt").net.name == "other"      # as in Caffe


# ---- which nets

def names(solver):
    return [solver.net.name, *(net.name for net in solver.test_nets)]


def called(name, source=TEST_NET):
    return source.replace("'small'", f"'{name}'")


def test_test_nets_come_in_caffe_s_order(tmp_path):
    (tmp_path / "file.prototxt").write_text(called("test_file"))
    param = text.parse(called("test_param"), caffe_pb2.NetParameter)
    solver = make_solver(called("generic"), test_net=[str(tmp_path / "file.prototxt")],
                         test_net_param=[param], test_iter=[1, 1, 1, 1],
                         test_interval=5)
    assert names(solver) == ["generic", "test_param", "test_file", "generic", "generic"]
    assert all(net.phase == caffe.TEST and "acc" in net.blobs for net in solver.test_nets)


@pytest.mark.parametrize("field", ["net", "net_param", "train_net", "train_net_param"])
def test_the_training_net_may_be_given_in_four_ways(tmp_path, field):
    (tmp_path / "net.prototxt").write_text(NET)
    source = text.parse(NET, caffe_pb2.NetParameter) if field.endswith("param") \
        else str(tmp_path / "net.prototxt")
    solver = make_solver(None, **{field: source})
    assert solver.net.name == "small" and solver.net.phase == caffe.TRAIN
    assert solver.test_nets == []


COUNTS = [
    (dict(net=None), "exactly one of net, net_param, train_net, .* not none"),
    (dict(net="a", net_param={}), "exactly one of .*, not net_param and net"),
    (dict(net_param="small", test_iter=[1]), "test_interval must be positive"),
    (dict(train_net_param="small", test_iter=[1], test_interval=1),
     "test_iter is given 1 times for 0 test nets"),
    (dict(train_net_param="small", test_net_param=["small"], test_interval=1),
     "test_iter is given 0 times for 1 test nets"),
    (dict(net_param="small", test_net_param=["small"] * 2, test_iter=[1], test_interval=1),
     "test_iter is given 1 times for 2 test nets"),
    (dict(net_param="small", test_iter=[1, 1], test_interval=1, test_state=[{}]),
     "test_state is given 1 times for 2 test nets")]


@pytest.mark.parametrize("fields, message", COUNTS, ids=[message for _, message in COUNTS])
def test_numbers_that_do_not_fit(fields, message):
    small = text.parse(NET, caffe_pb2.NetParameter)
    fields = {k: small if v == "small" else [small] * len(v) if k == "test_net_param" else v
              for k, v in fields.items() if v is not None}
    with pytest.raises(SolverError, match=message):
        make_solver(None, **fields)


def test_states_of_training_and_test_nets():
    """The phase, then what the net says, then the solver's state of it."""
    rules = ["phase: TRAIN", "phase: TEST", "stage: 'own'", "stage: 'a'", "stage: 'b'",
             "min_level: 2", "phase: TEST stage: 'own' stage: 'b' min_level: 2"]
    marks = "".join(layer(f"m{i}", "ReLU", "x", more=f"include {{ {rule} }}")
                    for i, rule in enumerate(rules))
    solver = make_solver("state { stage: 'own' level: 1 } " + NET + marks, test_iter=[1, 1, 1],
                         test_interval=1, train_state=dict(stage=["a"]),
                         test_state=[dict(stage=["b"], level=2), dict(), dict(phase="TRAIN")])

    def there(net):
        return [n for n in net._layer_names if re.fullmatch(r"m\d", n)]

    assert there(solver.net) == ["m0", "m2", "m3"]
    assert [there(net) for net in solver.test_nets] == [
        ["m1", "m2", "m4", "m5", "m6"], ["m1", "m2"], ["m0", "m2"]]


# ---- tests

def test_test_nets_use_the_training_net_s_weights():
    solver = make_solver(TEST_NET, test_iter=[1], test_interval=100)
    assert np.shares_memory(solver.test_nets[0].params["c"][0].data, solver.net.params["c"][0].data)
    solver.step(2)
    net = solver.test_nets[0]
    net.forward(x=batches(0)[0], label=batches(0)[1])
    assert_allclose(net.blobs["c"].data, batches(0)[0] @ solver.net.params["c"][0].data.T
                    + solver.net.params["c"][1].data, rtol=1e-12)


def test_outputs_are_means_over_the_batches():
    solver = make_solver(TEST_NET, test_iter=[5], test_interval=100)
    net, seen = solver.test_nets[0], []

    def forward(bottom, top):
        top[0].data, top[1].data = batches(100 + len(seen))
        seen.append(None)

    net.layers[0].forward = forward
    means = solver.test()
    assert len(seen) == 5 and set(means) == {"acc", "loss"}
    w, b = (blob.data for blob in solver.net.params["c"])
    assert means["loss"] == pytest.approx(np.mean([gradient(w, b, 100 + k)[0] for k in range(5)]))


@pytest.mark.parametrize("start, initialization, expected", [
    (0, True, [0, 3, 6]), (0, False, [3, 6]), (3, False, [3, 6])])
def test_tests_come_every_test_interval(start, initialization, expected):
    solver = make_solver(TEST_NET, test_iter=[1], test_interval=3,
                         test_initialization=initialization)
    tested = []
    solver.test_all = lambda: tested.append(solver.iter)
    solver.iter = start
    solver.step(8 - start)
    assert tested == expected


# ---- displays

def lines(caplog):
    return [re.sub(r"\([\d.e+-]+ iter/s, [\d.e+-]+s/", "(SPEED iter/s, TIMEs/", message)
            for message in caplog.messages]


def test_log_lines_are_caffe_s(caplog):
    caplog.set_level(logging.INFO, "minicaffe")
    solver = make_solver(TEST_NET.replace('top: "loss"', 'top: "loss" loss_weight: 2'), display=2,
                         max_iter=4, test_iter=[2], test_interval=4, test_compute_loss=True,
                         lr_policy="step", gamma=0.5, stepsize=2)
    losses, loss = [], solver.net.blobs["loss"]
    solver.add_callback(on_gradients_ready=lambda: losses.append(float(loss.data)))
    solver.test_nets[0].layers[0].forward = lambda bottom, top: None          # x = 0, label = 0
    results = []
    solver.reporters.append(lambda event: results.append(event["outputs"])
                            if "test_net" in event else None)
    solver.solve()
    final = float(solver.net.blobs["loss"].data)

    def tested(i):
        acc, loss = results[i]["acc"], results[i]["loss"]
        return [f"Test loss: {2 * loss:g}", f"    Test net output #0: acc = {acc:g}",
                f"    Test net output #1: loss = {loss:g} (* 2 = {2 * loss:g} loss)"]

    def displayed(i):
        return [f"Iteration {i} (SPEED iter/s, TIMEs/2 iters), loss = {2 * losses[i]:g}",
                f"    Train net output #0: loss = {losses[i]:g} (* 2 = {2 * losses[i]:g} loss)"]

    assert lines(caplog) == [
        "Solving small", "Learning Rate Policy: step",
        "Iteration 0, Testing net (#0)", *tested(0),
        *displayed(0), "Iteration 0, lr = 0.5", *displayed(2), "Iteration 2, lr = 0.25",
        f"Iteration 4, loss = {2 * final:g}",
        "Iteration 4, Testing net (#0)", *tested(1), "Optimization Done."]


def test_every_number_of_an_output_has_a_line(caplog):
    caplog.set_level(logging.INFO, "minicaffe")
    net = NET + layer("s", "Softmax", "c", "out", "include { phase: TRAIN }").replace('"c"', '"x"')
    make_solver(net, display=1).step(1)
    numbers = [int(re.search("#(\\d+)", m)[1]) for m in caplog.messages if "Train net output" in m]
    assert numbers == list(range(1 + 4 * 5))


def test_nothing_is_shown_without_display(caplog):
    caplog.set_level(logging.INFO, "minicaffe")
    make_solver(display=0).step(5)
    assert caplog.messages == []


def test_displaying_advances_no_multistep():
    shown, hidden = [make_solver(lr_policy="multistep", gamma=0.5, stepvalue=[2, 2], display=d)
                     for d in (1, 0)]
    shown.step(4)
    hidden.step(4)
    assert_array_equal(shown.net.params["c"][0].data, hidden.net.params["c"][0].data)


def test_reporters_get_displays_and_tests():
    events = []
    solver = make_solver(TEST_NET, display=2, test_iter=[1], test_interval=3, max_iter=4)
    solver.reporters.append(events.append)
    solver.solve()
    assert [(e["iteration"], "test_net" in e, e.get("final", False)) for e in events] == [
        (0, True, False), (0, False, False), (2, False, False), (3, True, False), (4, False, True)]
    assert events[1]["lr"] == 0.5 and set(events[1]["outputs"]) == {"loss"}
    assert set(events[0]["outputs"]) == {"acc", "loss"}


def test_debug_info_is_shown_with_displays(caplog):
    caplog.set_level(logging.INFO, "minicaffe")
    solver = make_solver(debug_info=True, display=2)
    solver.step(1)
    for kind in "[Forward] Layer c, top blob c", "[Backward] Layer c, param blob 0", \
            "[Backward] All net params", "[Update] Layer c, param 1":
        assert any(kind in message for message in caplog.messages), kind
    caplog.clear()
    solver.step(1)
    assert not any("Layer c" in message for message in caplog.messages)


# ---- callbacks, requests

def test_callbacks_and_when_they_come():
    solver, order = make_solver(iter_size=2), []
    w = solver.net.params["c"][0]

    def on_start():
        order.append(("start", solver.iter, solver.passes, bool(w.diff.any())))

    def on_gradients_ready():
        order.append(("ready", solver.iter, solver.passes, bool(w.diff.any())))

    solver.add_callback(on_start, on_gradients_ready)
    solver.add_callback(on_start=lambda: order.append("second"))
    solver.step(2)
    assert order == [("start", 0, 0, False), "second", ("ready", 0, 2, True),
                     ("start", 1, 2, False), "second", ("ready", 1, 4, True)]


def test_gradients_may_be_changed_before_the_update():
    solver = make_solver()
    before = solver.net.params["c"][0].data.copy()
    solver.add_callback(on_gradients_ready=lambda: solver.net.params["c"][0].diff.fill(1))
    solver.step(1)
    assert_allclose(solver.net.params["c"][0].data, before - 0.5, rtol=1e-12)


def test_a_request_to_stop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = make_solver(TEST_NET, max_iter=10, test_iter=[1], test_interval=100)
    solver.action = lambda: "stop" if solver.iter == 3 else None
    solver.solve()
    assert solver.iter == 3 and solver.stopped
    assert (tmp_path / "solver_iter_3.solverstate").exists()       # to go on from
    solver.action = lambda: None
    solver.solve()
    assert solver.iter == 10 and not solver.stopped


def test_a_request_to_stop_ends_a_test():
    solver = make_solver(TEST_NET, test_iter=[50], test_interval=2, snapshot_after_train=False)
    passes = []
    solver.test_nets[0].layers[0].forward = lambda bottom, top: passes.append(solver.iter)
    solver.action = lambda: "stop" if len(passes) >= 53 else None
    solver.step(10)
    assert solver.iter == 2 and len(passes) == 53 and solver.stopped


def test_a_stopped_solver_can_be_tested():
    solver = make_solver(TEST_NET, test_iter=[2, 3], test_interval=100)
    solver.action = lambda: "stop"
    solver.step(5)
    solver.action = lambda: None
    passes = []
    for net in solver.test_nets:
        net.layers[0].forward = lambda bottom, top: passes.append(None)
    solver.test_all()
    assert len(passes) == 5 and set(solver.test(1)) == {"acc", "loss"}


def test_a_stop_in_the_first_test_leaves_out_the_second():
    solver = make_solver(TEST_NET, test_iter=[2, 3], test_interval=100)
    solver.action = lambda: "stop"
    passes = []
    for net in solver.test_nets:
        net.layers[0].forward = lambda bottom, top: passes.append(None)
    solver.step(1)
    assert len(passes) == 1 and solver.iter == 0


def test_solve_goes_on_from_where_it_is():
    solver = make_solver(max_iter=7)
    solver.step(4)
    solver.solve()
    assert solver.iter == 7 and solver.passes == 7


# ---- refusals

@pytest.mark.parametrize("fields, message", [
    (dict(type="SDG"), "unknown solver type 'SDG': did you mean 'SGD'"),
    (dict(type="?"), "unknown solver type '\\?': known are AdaDelta, AdaGrad, Adam"),
    (dict(regularization_type="L3"), "unknown regularization_type 'L3': it must be L1 or L2"),
    (dict(iter_size=0), "iter_size must be at least 1, not 0"),
    (dict(average_loss=0), "average_loss must be at least 1, not 0"),
    (dict(max_iter=-1), "max_iter must be at least 0, not -1"),
    (dict(momentum=-0.5), "momentum must be at least 0, not -0.5"),
    (dict(weight_decay=-1), "weight_decay must be at least 0, not -1"),
    (dict(type="AdaGrad", momentum=0.5), "momentum can't be used with AdaGrad, as in Caffe"),
    (dict(type="RMSProp", momentum=0.5), "momentum can't be used with RMSProp, as in Caffe"),
    (dict(type="RMSProp", rms_decay=1.0), "rms_decay must be in"),
    (dict(type="Adam", momentum2=1.0), "momentum 0 and momentum2 1 must be in"),
    (dict(type="Adam", momentum=1.0), "momentum 1 and momentum2 0.999 must be in"),
    (dict(lr_policy="cosin"), "unknown lr_policy 'cosin'")])
def test_parameters_that_make_no_sense(tmp_path, fields, message):
    (tmp_path / "solver.prototxt").write_text(text.to_text(make_param(**fields)))
    with pytest.raises(SolverError, match="solver.prototxt: " + message):
        caffe.get_solver(str(tmp_path / "solver.prototxt"))


def test_a_loss_that_is_not_finite_in_an_iteration_s_second_pass():
    solver = make_solver(iter_size=2)
    feed = solver.net.layers[0].forward

    def forward(bottom, top):
        feed(bottom, top)
        if solver.passes == 4:
            top[0].data = np.nan
    solver.net.layers[0].forward = forward
    with pytest.raises(DivergedError, match="iteration 1: the loss is nan"):
        for _ in range(2):
            solver.step(1)


def test_a_loss_that_is_not_finite(xp):
    solver = make_solver()
    solver.step(1)
    solver.net.params["c"][1].data[0] = np.nan
    before = solver.net.params["c"][0].data.copy()
    with pytest.raises(DivergedError, match="iteration 1: the loss is nan: the first layer whose "
                                            "output isn't finite is 'c' .blob 'c'.; a smaller "
                                            "base_lr"):
        solver.step(1)
    if xp is np:                       # the GPU's is looked at only where a step ends
        assert_array_equal(solver.net.params["c"][0].data, before)      # no update from it


def test_errors_in_the_files(tmp_path):
    (tmp_path / "solver.prototxt").write_text("base_lr: 1\nlr_polizy: 'fixed'")
    with pytest.raises(ParseError, match="solver.prototxt:2:1: .*did you mean 'lr_policy'"):
        caffe.get_solver(str(tmp_path / "solver.prototxt"))
    with pytest.raises(NetError, match="layer 3: layer 'late'.*unknown bottom 'nothing'"):
        make_solver(NET + layer("late", "ReLU", "nothing"))


def test_an_old_net_is_read_and_warned_of_once(tmp_path, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.prototxt").write_text(
        'input: "x" input_dim: 4 input_dim: 5 input_dim: 1 input_dim: 1 '
        'layer { name: "c" type: "InnerProduct" bottom: "x" top: "c" '
        'inner_product_param { num_output: 3 } }')
    param = make_param(test_iter=[1, 1], test_interval=5)
    param.ClearField("net_param")
    param.net = "old.prototxt"
    with caplog.at_level(logging.WARNING, "minicaffe"):
        assert len(caffe.get_solver(param).test_nets) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "old.prototxt: upgraded from an old form: `input` fields in place of Input layers; "
        "tools/upgrade_net.py writes the new one"]
