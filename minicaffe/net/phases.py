"""Which layers of a file belong to a net: the include and exclude rules against the net's state."""

from ..errors import NetError
from ..proto import caffe_pb2


def add_to_state(state, phase, level=0, stages=None):
    """Set a NetState's phase (number or name) and level, and add stages to it (as pycaffe does)."""
    if phase not in caffe_pb2.Phase.keys() + caffe_pb2.Phase.values():
        raise NetError(f"the phase must be minicaffe.TRAIN or minicaffe.TEST, not {phase!r}")
    state.phase = caffe_pb2.Phase.Value(phase) if isinstance(phase, str) else phase
    state.level = level
    state.stage.extend(stage for stage in stages or () if stage not in state.stage)


def layers_in_state(param, places):
    """The pairs (LayerParameter, place) of a NetParameter that its own `state` includes.

    A layer with include rules is in if one of them is met, one with exclude rules unless one is
    met (net.cpp, FilterNet); both at once raise NetError.
    """
    chosen = []
    for layer, place in zip(param.layer, places):
        if layer.include and layer.exclude:
            raise NetError(f"{place}: layer '{layer.name}' has include and exclude rules: "
                           "only one of the two can be given")
        rules = layer.include or layer.exclude
        met = any(meets(param.state, rule) for rule in rules)
        if met == bool(layer.include):         # no rules: met is False, include is empty
            chosen.append((layer, place))
    return chosen


def meets(state, rule):
    """Whether a NetState satisfies a NetStateRule: phase, level range, all stages, no not_stage."""
    stages = set(state.stage)
    return not ((rule.HasField("phase") and rule.phase != state.phase)
                or (rule.HasField("min_level") and state.level < rule.min_level)
                or (rule.HasField("max_level") and state.level > rule.max_level)
                or not stages.issuperset(rule.stage)
                or not stages.isdisjoint(rule.not_stage))
