"""What the command line changes in a solver's parameters."""

from ..errors import SolverError
from ..proto import caffe_pb2, text


def read_with_net(path, net=None):
    """The SolverParameter of a file, its training net replaced by the file `net` if given."""
    param = text.read_solver(path)
    if net is not None:
        for field in "net", "net_param", "train_net", "train_net_param":
            param.ClearField(field)
        param.net = net
    return param


def override(param, settings):
    """Apply settings "field=value" to a SolverParameter; a repeated field takes "1,2,3".

    Raises SolverError for an unknown field, ParseError for a value that doesn't fit it.
    """
    for setting in settings:
        field, equals, value = setting.partition("=")
        descriptor = param.DESCRIPTOR.fields_by_name.get(field)
        if not equals or descriptor is None or descriptor.message_type is not None:
            known = ", ".join(f.name for f in param.DESCRIPTOR.fields if f.message_type is None)
            raise SolverError(f"--set {setting}: must be FIELD=VALUE, FIELD one of {known}")
        if descriptor.type == descriptor.TYPE_STRING:
            value = '"' + value.strip("\"'").replace("\\", "\\\\") + '"'
        repeated = isinstance(getattr(param, field), type(param.test_iter))
        lines = [f"{field}: {v}" for v in (value.split(",") if repeated else [value])]
        change = text.parse("\n".join(lines), caffe_pb2.SolverParameter, f"--set {setting}")
        param.ClearField(field)
        param.MergeFrom(change)
