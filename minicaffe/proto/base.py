"""What the readers of text and of binary files share: getting the bytes, and naming foreign ones."""

import pathlib

from google.protobuf.message import DecodeError

from ..errors import FileError
from ..files import reason
from .caffe_pb2 import BlobProto, NetParameter, SolverState

MAGIC = {b"\x89HDF": "an HDF5 file", b"\x1f\x8b": "a gzip file", b"PK\x03\x04": "a zip file",
         b"\x93NUMPY": "an .npy file"}
CONTROL = bytes(set(range(32)) - set(b"\t\n\f\r"))      # no text holds these


def read_bytes(path):
    """The contents of a file; FileError where it is missing, a folder or not readable."""
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"{path}: can't be read: {reason(error)}") from error


def try_parse(message_type, data):
    """The binary message in `data`, or an empty one where there is none.

    Protobuf keeps what it doesn't know, so bytes of another message often parse: look at what
    came out.
    """
    try:
        return message_type.FromString(data)
    except DecodeError:
        return message_type()


def has_layers(net):
    """Whether a NetParameter, of any format version, holds layers that deserve the name."""
    return any(layer.name or layer.type for layer in net.layer) or any(
        layer.name or layer.layer.name for layer in net.layers)


def has_state(state):
    """Whether a SolverState holds what Caffe writes into every one."""
    return state.HasField("iter") and bool(state.learned_net or state.history)


def has_values(blob):
    """Whether a BlobProto holds a shape and data."""
    shaped = blob.HasField("shape") or blob.HasField("num")
    return shaped and bool(blob.data or blob.double_data)


KINDS = [(NetParameter, has_layers, "a binary .caffemodel"),
         (SolverState, has_state, "a .solverstate"),
         (BlobProto, has_values, "a .binaryproto")]


def describe(data):
    """What a file with these contents is, in words ("an HDF5 file"), or None where nobody knows."""
    if not data:
        return "empty"
    for magic, what in MAGIC.items():
        if data.startswith(magic):
            return what
    if len(data.translate(None, CONTROL)) == len(data):
        return "a text file"
    for message_type, holds, what in KINDS:
        if holds(try_parse(message_type, data)):
            return what
    return None
