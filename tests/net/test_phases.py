import pytest
from net_helpers import build, inputs, layer, net_param

import minicaffe as caffe
from minicaffe.errors import NetError
from minicaffe.net.phases import meets
from minicaffe.proto import caffe_pb2


def rule(**fields):
    return caffe_pb2.NetStateRule(**fields)


def state(phase="TEST", level=0, stages=()):
    return caffe_pb2.NetState(phase=phase, level=level, stage=stages)


@pytest.mark.parametrize("given, asked, expected", [
    (state(), rule(), True),
    (state("TRAIN"), rule(phase="TRAIN"), True),
    (state("TEST"), rule(phase="TRAIN"), False),
    (state("TRAIN"), rule(phase="TEST"), False),
    (state(level=2), rule(min_level=2), True),
    (state(level=1), rule(min_level=2), False),
    (state(level=0), rule(min_level=-1), True),
    (state(level=2), rule(max_level=2), True),
    (state(level=3), rule(max_level=2), False),
    (state(level=3), rule(min_level=2, max_level=4), True),
    (state(stages=["a"]), rule(stage=["a"]), True),
    (state(stages=["a"]), rule(stage=["a", "b"]), False),
    (state(stages=["a", "b"]), rule(stage=["a"]), True),
    (state(), rule(not_stage=["a"]), True),
    (state(stages=["a", "b"]), rule(not_stage=["b", "c"]), False),
    (state(stages=["a"]), rule(stage=["a"], not_stage=["b"]), True),
    (state("TRAIN", 1, ["a"]), rule(phase="TRAIN", min_level=1, stage=["a"]), True),
    (state("TRAIN", 1, ["a"]), rule(phase="TRAIN", min_level=2, stage=["a"]), False)])
def test_a_state_meets_a_rule_if_every_part_of_it_holds(given, asked, expected):
    assert meets(given, asked) is expected


def names(rules, phase=caffe.TEST, **options):
    net = build(inputs(x=(1, 2)) + layer("a", "ReLU", "x", "y", rules) + layer("b", "ReLU", "x"),
                phase, **options)
    return [n for n in net._layer_names if n in "ab"]


@pytest.mark.parametrize("rules, phase, there", [
    ("", caffe.TRAIN, True),
    ("include { phase: TEST }", caffe.TEST, True),
    ("include { phase: TEST }", caffe.TRAIN, False),
    ("exclude { phase: TEST }", caffe.TEST, False),
    ("exclude { phase: TEST }", caffe.TRAIN, True),
    ("include { phase: TEST } include { phase: TRAIN }", caffe.TRAIN, True),     # one is enough
    ("exclude { phase: TEST } exclude { phase: TRAIN }", caffe.TRAIN, False),
    ("include { stage: 'x' } include { stage: 'y' }", caffe.TRAIN, False)])
def test_include_and_exclude(rules, phase, there):
    assert names(rules, phase) == (["a", "b"] if there else ["b"])


def test_level_and_stages_of_the_call():
    assert names("include { min_level: 2 }", level=2) == ["a", "b"]
    assert names("include { min_level: 2 }", level=1) == ["b"]
    assert names("include { stage: 'x' stage: 'y' }", stages=["y", "x"]) == ["a", "b"]
    assert names("exclude { stage: 'x' }", stages=["x"]) == ["b"]


def test_the_files_own_state():
    source = "state { phase: TRAIN level: 3 stage: 'x' }" + inputs(x=(1, 2)) \
        + layer("a", "ReLU", "x", "y", "include { phase: TRAIN min_level: 3 stage: 'x' }") \
        + layer("b", "ReLU", "x", "z", "include { stage: 'x' stage: 'y' }")
    net = caffe.Net(net_param(source))
    assert net._layer_names == ["in", "a"] and net.phase == caffe.TRAIN
    # in a call, phase and level replace the file's, stages are added to its
    assert caffe.Net(net_param(source), caffe.TEST, stages=["y"])._layer_names == ["in", "b"]


def test_phases_as_words():
    assert names("include { phase: TEST }", "TEST") == ["a", "b"]
    assert names("include { phase: TEST }", "TRAIN") == ["b"]


def test_both_kinds_of_rules_at_once():
    with pytest.raises(NetError, match="1: layer 'a' has include and exclude rules: only one"):
        names("include { phase: TEST } exclude { stage: 'x' }")


def test_a_layer_s_own_phase_rules_it():
    """LayerParameter.phase: Dropout that does nothing in a training net."""
    net = build(inputs(x=(50, 2)) + layer("d", "Dropout", "x", more="phase: TEST"), caffe.TRAIN)
    net.forward()
    assert (net.blobs["d"].data == net.blobs["x"].data).all()
