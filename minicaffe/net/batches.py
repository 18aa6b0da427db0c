"""Arrays of any length through a net whose batch is fixed: forward_all, forward_backward_all."""

import numpy as np

from ..backend import to_numpy
from ..errors import NetError


def forward_all(net, blobs, inputs):
    """{name: rows} of outputs and `blobs`, for inputs {name: (n, ...)}; n need not fit the batch.

    The last batch is filled up with zeros, whose rows are left out of the result. A scalar output
    gives one number a batch.
    """
    _check(net, inputs, net.inputs, "input")
    if not inputs:
        raise NetError("forward_all needs the net's inputs as keywords: "
                       + (", ".join(net.inputs) or "it has none"))
    parts = [_copies(net.forward(blobs=blobs, **batch)) for batch in _batches(net, inputs)]
    return _joined(parts, _length(inputs))


def forward_backward_all(net, blobs, diffs, arrays):
    """(outputs, diffs) of both passes batch by batch; arrays: of inputs, and diffs of outputs."""
    _check(net, arrays, [*net.inputs, *net.outputs], "input or output")
    inputs = {name: arrays[name] for name in arrays if name in net.inputs}
    output_diffs = {name: arrays[name] for name in arrays if name in net.outputs}
    n = _length(arrays)
    forward, backward = list(_batches(net, inputs)), list(_batches(net, output_diffs))
    outs, ins = [], []
    for k in range(max(len(forward), len(backward))):
        outs.append(_copies(net.forward(blobs=blobs, **(forward[k] if forward else {}))))
        ins.append(_copies(net.backward(diffs=diffs, **(backward[k] if backward else {}))))
    return _joined(outs, n), _joined(ins, n)


def _check(net, arrays, known, what):
    for name, array in arrays.items():
        if name not in known:
            raise NetError(f"'{name}' is no {what} of the net: known are {', '.join(known)}")
        if np.ndim(array) != len(net.blobs[name].shape) or \
                np.shape(array)[1:] != net.blobs[name].shape[1:]:
            raise NetError(f"'{name}' has shape {np.shape(array)}, the net expects rows of "
                           f"{net.blobs[name].shape[1:]}")


def _length(arrays):
    """The number of rows, which all arrays have in common."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise NetError("arrays of one length, at least 1, are needed, not "
                       + (", ".join(f"{name} of {n}" for name, n in lengths.items()) or "none"))
    return next(iter(lengths.values()))


def _batches(net, arrays):
    """Pieces of the arrays as long as the blobs' first axes, the last one filled up with zeros."""
    if not arrays:
        return
    sizes = {net.blobs[name].shape[0] for name in arrays}
    if len(sizes) != 1:
        raise NetError(f"the blobs {', '.join(arrays)} differ in batch size: {sorted(sizes)}")
    size, n = sizes.pop(), _length(arrays)
    for start in range(0, n, size):
        batch = {}
        for name, array in arrays.items():
            piece = np.asarray(to_numpy(array)[start:start + size])
            short = size - len(piece)
            batch[name] = np.concatenate([piece, np.zeros((short, *piece.shape[1:]), piece.dtype)]) \
                if short else piece
        yield batch


def _copies(values):
    return {name: np.atleast_1d(np.array(to_numpy(array))) for name, array in values.items()}


def _joined(parts, n):
    """Rows of all batches, those of the padding cut off; one number a batch stays so."""
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: rows[:n] if len(rows) > len(parts) else rows for name, rows in joined.items()}
