"""Caffe's HDF5 files: .caffemodel.h5 and .solverstate.h5 (net.cpp, sgd_solver.cpp).

.caffemodel.h5     data/LAYER/I   array, of each blob I of each layer; a blob that uses another's
                                  memory is left out (Caffe lets it be missing then)
                   diff/LAYER/I   the same of the gradients, if asked for, of every blob
                   mask/LAYER/I   minicaffe: where weights may be non-zero (Caffe looks at data only)
.solverstate.h5    iter, current_step   int32, shape (1,)      learned_net   a C string
                   history/I            array
                   minicaffe            minicaffe: the SolverState's own fields, its bytes as uint8
A net or state is handed over as the message that the binary forms hold, so that what uses it need
not know which of the two it came from. Needs the package h5py (extra `hdf5`).
"""

import contextlib
import os

import numpy as np

from ..errors import BackendError, FileError
from ..files import atomic_write, reason
from . import weights
from .caffe_pb2 import NetParameter, SolverState

MAGIC = b"\x89HDF\r\n\x1a\n"
OWN_FIELDS = "layer_state", "random_seed", "type"


def is_hdf5(path):
    """Whether a file exists and begins as HDF5 files do."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_net_weights(path):
    """The NetParameter in a .caffemodel or .caffemodel.h5, whichever it is.

    From HDF5 its layers have a name and blobs only, in alphabetical order; a blob that the file
    leaves out, before the layer's last one, is an empty BlobProto.
    """
    if not is_hdf5(path):
        return weights.read_net_weights(path)
    net = NetParameter()
    with _open(path) as file:
        if "data" not in file:
            raise FileError(f"{path}: is an HDF5 file without the group 'data' of a .caffemodel.h5")
        for name, arrays in sorted(_layers(file["data"])):
            layer = net.layer.add(name=name)
            for i in range(max(arrays, default=-1) + 1):
                blob = layer.blobs.add()
                if i in arrays:
                    mask = file.get(f"mask/{name}/{i}")
                    weights.array_to_blob(arrays[i][()], blob, mask=mask and mask[()])
    return net


def write_net_weights(net, path, owners=None, write_diff=False):
    """Write a NetParameter's blobs as .caffemodel.h5, whole or not at all.

    owners    the pairs (layer name, index) of the blobs to write; None: all
    """
    with _create(path) as file:
        groups = ["data", "diff"] if write_diff else ["data"]
        for layer in net.layer:
            for group in groups:
                file.require_group(f"{group}/{layer.name}")
            for i, blob in enumerate(layer.blobs):
                name, mask = f"{layer.name}/{i}", weights.unpack_mask(blob)
                if owners is None or (layer.name, i) in owners:
                    file[f"data/{name}"] = weights.blob_to_array(blob)
                    if mask is not None:
                        file[f"mask/{name}"] = mask
                if write_diff:
                    file[f"diff/{name}"] = weights.blob_to_array(blob, "diff")


def read_solver_state(path):
    """The SolverState in a .solverstate or .solverstate.h5, whichever it is."""
    if not is_hdf5(path):
        return weights.read_solver_state(path)
    state = SolverState()
    with _open(path) as file:
        if "minicaffe" in file:
            state.ParseFromString(file["minicaffe"][()].tobytes())
        try:
            state.iter = int(file["iter"][()].item())
            state.current_step = int(file["current_step"][()].item())
            if "learned_net" in file:
                state.learned_net = np.bytes_(file["learned_net"][()]).decode().rstrip("\0")
            history = file["history"]
            for i in range(len(history)):
                weights.array_to_blob(history[str(i)][()], state.history.add())
        except KeyError as error:
            raise FileError(f"{path}: is an HDF5 file, but no .solverstate.h5: "
                            f"{error.args[0]}") from error
    return state


def write_solver_state(state, path):
    """Write a SolverState as .solverstate.h5, whole or not at all."""
    own = SolverState()
    own.CopyFrom(state)
    for field, _ in state.ListFields():
        if field.name not in OWN_FIELDS:
            own.ClearField(field.name)
    with _create(path) as file:
        file["iter"] = np.array([state.iter], np.int32)
        _write_string(file, "learned_net", state.learned_net)
        file["current_step"] = np.array([state.current_step], np.int32)
        history = file.create_group("history")
        for i, blob in enumerate(state.history):
            history[str(i)] = weights.blob_to_array(blob)
        file["minicaffe"] = np.frombuffer(own.SerializeToString(), np.uint8)


def _layers(group, prefix=""):
    """Pairs (layer name, {I: data set}) in a group; a name with slashes is groups in groups."""
    arrays, inner = {}, []
    for name, item in group.items():
        if hasattr(item, "items"):
            inner += _layers(item, f"{prefix}{name}/")
        elif name.isdigit():
            arrays[int(name)] = item
    own = [(prefix[:-1], arrays)] if prefix and (arrays or not inner) else []
    return own + inner


def _write_string(file, name, value):
    """A string of fixed length with its zero byte: Caffe reads no other."""
    h5py, data = _h5py(), value.encode() + b"\0"
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(data))
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5d.create(file.id, name.encode(), kind, space).write(
        space, space, np.array(data, f"S{len(data)}"), mtype=kind)


@contextlib.contextmanager
def _create(path):
    h5py = _h5py()
    with atomic_write(path, "w+b") as raw, h5py.File(raw, "w") as file:
        yield file


@contextlib.contextmanager
def _open(path):
    h5py = _h5py()
    try:
        file = h5py.File(os.fspath(path), "r")
    except OSError as error:
        raise FileError(f"{path}: not a readable HDF5 file: {reason(error)}") from error
    with file:
        yield file


def _h5py():
    try:
        import h5py
    except ImportError as error:
        raise BackendError("HDF5 files need the package h5py: "
                           'pip install "minicaffe[hdf5]"') from error
    return h5py
