"""Binary files: .caffemodel, .solverstate and .binaryproto, and arrays in and out of BlobProto."""

import math

import numpy as np
from google.protobuf.message import EncodeError

from ..backend import to_numpy
from ..errors import FileError, WeightsError
from ..files import atomic_write
from .base import describe, has_layers, has_state, has_values, read_bytes, try_parse
from .caffe_pb2 import BlobProto, NetParameter, SolverState

LEGACY_AXES = ("num", "channels", "height", "width")


def read_net_weights(path):
    """The NetParameter in a binary .caffemodel, as it stands there (V0 and V1 not upgraded)."""
    return _read(path, NetParameter, "caffemodel", has_layers)


def read_solver_state(path):
    """The SolverState in a binary .solverstate."""
    return _read(path, SolverState, "solverstate", has_state)


def read_blob(path):
    """The array in a .binaryproto file, such as the mean picture of a data set."""
    proto = _read(path, BlobProto, "binaryproto", has_values)
    try:
        return blob_to_array(proto)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def write_blob(array, path):
    """Write an array as .binaryproto."""
    write_binary(array_to_blob(array), path)


def write_binary(message, path):
    """Write any message in protobuf's binary format, whole or not at all."""
    try:
        data = message.SerializeToString()
    except (EncodeError, ValueError) as error:      # over 2 GiB, or a required field is missing
        raise FileError(f"{path}: can't be written: {error}") from error
    with atomic_write(path) as file:
        file.write(data)


def _read(path, message_type, kind, holds):
    """Parse a binary file and refuse what parses without being of that kind."""
    data = read_bytes(path)
    message = try_parse(message_type, data)
    if holds(message):
        return message
    what = describe(data)
    if what and not what.endswith("." + kind):
        raise FileError(f"{path}: is {what}, where a binary .{kind} is expected")
    raise FileError(f"{path}: is not a readable {kind}: truncated or of another format")


def is_legacy(proto):
    """Whether a BlobProto gives its shape in the old way, as num, channels, height, width."""
    return any(proto.HasField(axis) for axis in LEGACY_AXES)


def blob_shape(proto):
    """The shape of a BlobProto as a tuple; always four axes where it is of the old kind."""
    if is_legacy(proto):
        return tuple(getattr(proto, axis) for axis in LEGACY_AXES)
    return tuple(proto.shape.dim)


def blob_to_array(proto, field="data"):
    """A BlobProto's `data` or `diff` as a new array: float32, or float64 from the double fields."""
    shape, double = blob_shape(proto), getattr(proto, f"double_{field}")
    values, dtype = (double, np.float64) if len(double) else (getattr(proto, field), np.float32)
    if any(size < 0 for size in shape) or math.prod(shape) != len(values):
        raise WeightsError(f"a blob of shape {shape} holds {len(values)} values")
    return np.array(values, dtype=dtype).reshape(shape)


def array_to_blob(array, proto=None, diff=None, mask=None):
    """Put an array, and on request its diff and mask, into a BlobProto (a new one, or `proto`).

    float64 goes to the double fields, all else as float32 to data and diff. What `proto` held
    before is cleared.
    """
    proto = BlobProto() if proto is None else proto
    proto.Clear()
    array = to_numpy(array)
    proto.shape.dim.extend(array.shape)
    prefix, dtype = ("double_", "<f8") if array.dtype == np.float64 else ("", "<f4")
    for field, values in ("data", array), ("diff", diff), ("mask", mask):
        if values is None:
            continue
        values = to_numpy(values)
        if np.shape(values) != array.shape:
            raise WeightsError(f"{field} of shape {np.shape(values)} for a blob of {array.shape}")
        if field == "mask":
            proto.mask = pack_mask(values)
        else:
            _set_packed(proto, prefix + field, np.asarray(values, dtype=dtype))
    return proto


def pack_mask(mask):
    """A boolean array as bytes, one bit an element in C order."""
    return np.packbits(np.asarray(mask, dtype=bool)).tobytes()


def unpack_mask(proto):
    """The mask of a BlobProto as a boolean array of its shape, or None where it has none."""
    if not proto.HasField("mask"):
        return None
    shape = blob_shape(proto)
    count = math.prod(shape)
    if len(proto.mask) != (count + 7) // 8:
        raise WeightsError(f"a blob of shape {shape} holds a mask of {len(proto.mask)} bytes")
    bits = np.unpackbits(np.frombuffer(proto.mask, np.uint8), count=count)
    return bits.astype(bool).reshape(shape)


def _set_packed(proto, field, values):
    """proto.field = values. A packed field's wire form is the array's bytes behind tag and length;
    handing it over as such is 50 times as fast as extend(): 2 ms for a million floats."""
    raw = values.tobytes()
    tag = proto.DESCRIPTOR.fields_by_name[field].number << 3 | 2
    proto.MergeFromString(_varint(tag) + _varint(len(raw)) + raw)


def _varint(number):
    """Protobuf's integers: seven bits a byte, lowest first, the top bit set where more follow."""
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes(digits + [number])
