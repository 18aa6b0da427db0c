"""Which inputs of a sparse net reach which of its units: global connectivity.

    R = reachability(net, "ip1", "ip5")            # bool, (inputs of ip1, outputs of ip5)
    R.mean()                                       # share of pairs that are connected
    R = product([layer_mask(net.layer_dict[name]) for name in ("ip1", "ip2")])

Source: the thesis of SAO, Section 3.5.1.2 and Fig. 3.9, after Prabhu, Varma and Namboodiri, Deep
Expander Networks, ECCV 2018.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from ..backend import to_numpy
from ..errors import Error, NetError
from ..structured import block_diagonal, ramanujan

# types that keep every unit, or every channel, by itself: y_i depends on x_i alone
UNITWISE = {"AbsVal", "Affine", "BNLL", "BatchNorm", "Bias", "Dropout", "ELU", "Exp", "Flatten",
            "GELU", "Log", "PReLU", "Pooling", "Power", "ReLU", "Reshape", "Scale", "SiLU",
            "Sigmoid", "Split", "Swish", "TanH", "Threshold"}


def reachability(net, first, last):
    """R (inputs of layer `first`, outputs of layer `last`), bool: True at [p, q] where p reaches q.

    Along all paths that begin in `first`; outputs and inputs of a Convolution are its channels.
    Between the two may be fully connected layers, Convolutions, layers that keep units apart
    (activations, Dropout, BatchNorm, Pooling ...), Eltwise, and Concat of units or channels. Raises
    NetError for layers of other types on the way, and where no path leads from one to the other.
    """
    start, end = net._index(first), net._index(last)
    reached, makers = {}, _makers(net, start, end)   # blob name -> _Units
    for i in makers:
        layer, bottoms = net.layers[i], [reached.get(name) for name in net._bottom_names[i]]
        if i == start:
            units = _Units(layer_mask(layer).T, _axis(layer, net._ends[i][0][0]))
        elif any(bottoms):
            units = _through(layer, bottoms, net._ends[i][0])
        else:
            continue
        reached.update(dict.fromkeys(net._top_names[i], units))
    if not {start, end} <= set(makers) or start < end and not any(
            reached.get(name) for name in net._bottom_names[end]):
        raise NetError(f"no path leads from layer '{first}' to layer '{last}'")
    return units.reached


class _Units(NamedTuple):
    """What reaches the units of a blob, or its channels, which each have many numbers behind them.

    reached     R, (inputs of the first layer, units)
    axis        of the blob, where the units begin
    """

    reached: np.ndarray
    axis: int


def _makers(net, start, end):
    """The indices, rising, of the layers from `start` on that the layer `end` depends on; `end`."""
    wanted, found = set(net._bottom_names[end]), [end] if start <= end else []
    for i in range(end - 1, start - 1, -1):
        tops = set(net._top_names[i])
        if tops & wanted:
            wanted = wanted - tops | set(net._bottom_names[i])
            found.append(i)
    return found[::-1]


def _through(layer, bottoms, blobs):
    """The _Units of a layer's tops from those of its bottoms, None where nothing reaches one."""
    known = [units for units in bottoms if units]
    axis, most = known[0].axis, max(units.reached.shape[1] for units in known)
    if layer.type == "Eltwise" and all(units.axis == axis for units in known):
        found = [_of_units(layer, units, most) for units in known]
        return _Units(np.logical_or.reduce(found), axis)
    if layer.type == "Concat" and all(units.axis == layer.axis for units in known):
        nothing = np.zeros((len(known[0].reached), 1), bool)
        return _Units(np.hstack([
            _of_units(layer, units or _Units(nothing, axis), blob.shape[axis])
            for units, blob in zip(bottoms, blobs)]), axis)
    if len(bottoms) > 1:
        raise NetError(f"layer '{layer.name}' of type {layer.type} has {len(bottoms)} bottoms: "
                       "reachability goes through Eltwise, and Concat along the units, alone")
    if layer.type in UNITWISE and (axis == 1 or layer.type not in ("Flatten", "Reshape")):
        return known[0]
    mask = layer_mask(layer)
    if _axis(layer, blobs[0]) != axis:
        raise NetError(f"layer '{layer.name}' takes its inputs from axis {_axis(layer, blobs[0])} "
                       f"on, but units or channels are along axis {axis}")
    return _Units(product([_of_units(layer, known[0], mask.shape[1]).T, mask]), axis)


def _axis(layer, bottom):
    """Where the inputs of a layer with weights begin, and its outputs too."""
    return bottom.canonical_axis(layer.param.axis)


def _of_units(layer, units, number):
    """R for so many units: where a fully connected layer reads channels, each is many of them."""
    R = units.reached
    if number % R.shape[1]:
        raise NetError(f"layer '{layer.name}' has {number} inputs, which {R.shape[1]} units or "
                       "channels before it can't be")
    return np.repeat(R, number // R.shape[1], axis=1)


def product(masks):
    """The binarised product M_1^T M_2^T ... of masks (outputs, inputs), first layer first.

    (inputs of the first, outputs of the last), bool, as the thesis has it: inputs are rows.
    Counts of paths are binarised after each layer, or those of deep nets would overflow.
    """
    reached = None
    for mask in masks:
        step = (np.asarray(mask) != 0).T.astype(np.float32)
        if reached is not None and reached.shape[1] != len(step):
            raise Error(f"a layer of {reached.shape[1]} outputs can't be followed by one of "
                        f"{len(step)} inputs")
        reached = step if reached is None else (reached @ step > 0).astype(np.float32)
    return reached > 0


def layer_mask(layer):
    """(N, K) bool, NumPy: which of a layer's inputs each output is connected to.

    An InnerProduct's mask, everything where it has none; the blocks of a BlockInnerProduct, with
    its inputs as shuffled; those of a SparseOrthogonalInnerProduct in their places; of a
    Convolution, by channels, the kernels that are not masked as a whole, within its groups. A mask
    on blocks narrows them. Raises NetError for other types, and for an order drawn anew each pass.
    """
    types = "InnerProduct", "BlockInnerProduct", "SparseOrthogonalInnerProduct", "Convolution"
    if layer.type not in types:
        raise NetError(f"layer '{layer.name}' of type {layer.type} mixes its inputs otherwise: "
                       f"reachability is of {', '.join(types)}")
    weights = layer.blobs[0]
    kept = np.ones(weights.shape, bool) if weights.mask is None else to_numpy(weights.mask)
    if layer.type == "Convolution":
        kept = kept.reshape(*kept.shape[:2], -1).any(axis=2)
        return scipy.linalg.block_diag(*np.split(kept, layer.param.group)) != 0
    if layer.type == "InnerProduct":
        return kept.T if layer.param.transpose else kept
    if layer.type == "SparseOrthogonalInnerProduct":
        rows, columns = (_order(layer, side) for side in (layer.outputs, layer.inputs))
        return ramanujan.to_dense(kept, ramanujan.Structure(rows, columns, layer.layout))
    mask = np.empty(layer.layout.shape, bool)
    mask[:, _inputs_of_blocks(layer)] = block_diagonal.to_dense(kept, layer.layout)
    return mask


def _order(layer, side):
    """Which output or input each place in the blocks of a SparseOrthogonalInnerProduct is."""
    if side.index is None:
        return np.arange(side.size)
    return to_numpy(layer.blobs[side.index].data).astype(np.int64)


def _inputs_of_blocks(layer):
    """(K,) which input each column of a BlockInnerProduct's blocks stands for, by its shuffle."""
    shuffle, K = layer.shuffle, layer.layout.shape[1]
    if shuffle.draws:
        raise NetError(f"layer '{layer.name}' draws the order of its inputs anew in each pass: "
                       "which of them reach its outputs isn't settled")
    if not shuffle.active:
        return np.arange(K)
    numbers = layer.xp.arange(K, dtype=layer.dtype) + layer.xp.zeros((layer.M, 1), layer.dtype)
    buffer = shuffle.buffer.data
    saved = buffer.copy()                            # of the last forward pass, for its backward
    order = to_numpy(shuffle.apply(numbers, None)[0]).astype(np.int64)
    buffer[...] = saved
    return order
