"""The training net and the test nets that a SolverParameter names."""

import os

from ..errors import SolverError
from ..net import Net
from ..proto import caffe_pb2, upgrade

_TRAIN_FIELDS = ("train_net_param", "train_net", "net_param", "net")


class Files:
    """Reads the nets a solver names, each file once; `folder` is the solver's."""

    def __init__(self, folder):
        self.folder, self._read = folder, {}

    def read(self, source):
        """What upgrade.read_net gives for a path or NetParameter."""
        if isinstance(source, caffe_pb2.NetParameter):
            return upgrade.read_net(source)
        if source not in self._read:
            self._read[source] = upgrade.read_net(find(source, self.folder))
        return self._read[source]


def train_source(param, files, where):
    """The training net as Files reads it. Raises SolverError unless exactly one field names it."""
    given = [field for field in _TRAIN_FIELDS if param.HasField(field)]
    if len(given) != 1:
        raise SolverError(f"{where}exactly one of net, net_param, train_net, train_net_param must "
                          f"be given, not {' and '.join(given) or 'none'}")
    return files.read(getattr(param, given[0]))


def train_net(param, files, where, **options):
    """The one training net."""
    state = caffe_pb2.NetState(phase=caffe_pb2.TRAIN)
    return _build(train_source(param, files, where), state, param.train_state, **options)


def own_test_sources(param, files):
    """The NetParameters of test nets that aren't the training net's other phase."""
    return [files.read(source)[0] for source in (*param.test_net_param, *param.test_net)]


def test_nets(param, files, where, **options):
    """All test nets, in Caffe's order: test_net_param, test_net, then net_param or net.

    The last of these stands for as many nets (of different test_state) as test_iter has entries
    left over. Raises SolverError where the counts don't match.
    """
    sources = list(param.test_net_param) + list(param.test_net)
    generic = [getattr(param, field) for field in ("net_param", "net") if param.HasField(field)]
    count = len(param.test_iter)
    if count and min(param.test_iter) < 1:
        raise SolverError(f"{where}test_iter must be at least 1, not {min(param.test_iter)}")
    if count < len(sources) or (not generic and count != len(sources)):
        raise SolverError(f"{where}test_iter is given {count} times for {len(sources)} test nets")
    sources += generic * (count - len(sources))
    if param.test_state and len(param.test_state) != len(sources):
        raise SolverError(f"{where}test_state is given {len(param.test_state)} times for "
                          f"{len(sources)} test nets (one for each test_iter)")
    if sources and param.test_interval < 1:
        raise SolverError(f"{where}test_interval must be positive where there are test nets")
    states = param.test_state or [caffe_pb2.NetState()] * len(sources)
    return [_build(files.read(source), caffe_pb2.NetState(phase=caffe_pb2.TEST), state, **options)
            for source, state in zip(sources, states)]


def _build(read, state, extra, **options):
    """A Net; its state is `state`, then what the net itself says, then `extra`, as in Caffe."""
    merged = caffe_pb2.NetState()
    merged.CopyFrom(state)
    merged.MergeFrom(read[0].state)
    merged.MergeFrom(extra)
    return Net(read, merged.phase, merged.level, merged.stage, **options)


def find(path, folder):
    """A file named in a solver: from the working directory, as in Caffe, or beside the solver."""
    beside = os.path.join(folder, path)
    return beside if not os.path.exists(path) and os.path.exists(beside) else path
