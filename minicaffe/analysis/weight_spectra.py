"""The spectra of all weight matrices of a file: a row of a table and a picture for each layer."""

import collections
from typing import NamedTuple

import numpy as np

from ..errors import Error
from ..fillers.base import variance
from ..layers.sparse_orthogonal_inner_product import blob_names
from ..proto import hdf5, upgrade, weights
from ..structured.block_diagonal import Layout
from . import plot_style as style
from .redundancy import measures, power_law, unit_rows
from .spectra import MarchenkoPastur, eigenvalues, singular_values

KINDS = {"InnerProduct": "inner_product_param", "Embed": "embed_param",
         "BlockInnerProduct": "block_inner_product_param",
         "SparseOrthogonalInnerProduct": "sparse_orthogonal_inner_product_param",
         "Convolution": "convolution_param", "Deconvolution": "convolution_param"}
INDEPENDENT = "xavier", "msra", "gaussian", "uniform"     # fillers whose weights are that
BLOCKS = "BlockInnerProduct", "SparseOrthogonalInnerProduct"
COLUMNS = ("layer", "shape", "Q", "n var", "at start", "beyond", "norm", "largest", "nuclear",
           "stable rank", "FP/m", "alpha", "KS", "tail")


class LayerSpectrum(NamedTuple):
    """A layer's weights as a matrix W (m, n), a row for each unit.

    Of a layer of blocks W is block diagonal, and its eigenvalues are the blocks' all together.
    name, kind      of the layer
    shape           (m, n)
    inputs          weights a unit: n; of blocks those of a block, on average over the units
    variance        of the entries, of blocks without the zeros around them
    laws            [(share of the eigenvalues, MarchenkoPastur)], what random blocks of each shape
                    have with the variance that the layer's filler draws; empty where that isn't
                    known
    eigenvalues     of W W^T, largest first
    beyond          how many of them lie beyond the edges of these laws
    measures        see redundancy.measures
    fitted          positive eigenvalues, largest first; of a convolution those of its m x c slices,
                    one for each place in the kernel, all together, as WeightWatcher takes them
    fit             PowerLaw of those; None where they are too few
    """

    name: str
    kind: str
    shape: tuple
    inputs: float
    variance: float
    laws: list
    eigenvalues: np.ndarray
    beyond: int | None
    measures: dict
    fitted: np.ndarray
    fit: object

    @property
    def initial(self):
        """`inputs` times the variance of what the filler draws; None where that isn't known."""
        return sum(share * law.variance for share, law in self.laws) if self.laws else None


def read_layers(net, source):
    """[(LayerParameter of the net, its weights)] of a prototxt and a weights file, both paths.

    Of the layers that have a weight matrix or kernels in the file, in the net's order; weights of
    blocks are a list of matrices. Raises Error where none is in both, and where the file's are
    those of another type of layer.
    """
    stored = hdf5.read_net_weights(source)
    if stored.layers:
        stored = upgrade.upgrade_weights(stored, str(source))
    blobs = {layer.name: layer.blobs for layer in stored.layer if layer.blobs}
    found = []
    for layer in upgrade.read_net(net)[0].layer:
        if layer.type in KINDS and layer.name in blobs:
            arrays = [weights.blob_to_array(blob) for blob in blobs.pop(layer.name)]
            array = _weights(layer, arrays)
            if array is None:
                raise Error(f"{source}: layer '{layer.name}' is of type {layer.type} in {net}, but "
                            f"its weights have shape {arrays[0].shape} there")
            found.append((layer, array))
    if not found:
        *others, last = KINDS
        raise Error(f"{source}: no {', '.join(others)} or {last} layer of {net} has weights there")
    return found


def _weights(layer, arrays):
    """The matrix, the kernels or the list of blocks in a layer's stored blobs; None for others."""
    first = arrays[0]
    if layer.type in ("InnerProduct", "Embed"):       # old files have four axes everywhere
        is_matrix = first.ndim == 2 or first.ndim == 4 and first.shape[:2] == (1, 1)
        return first.reshape(first.shape[-2:]) if is_matrix else None
    if layer.type not in BLOCKS:
        return first if first.ndim > 2 else None
    if first.ndim == 3:
        return list(first)
    layout = _layout(layer, arrays)
    fits = first.ndim == 1 and layout is not None and layout.weights == first.size
    return layout.split(first) if fits else None


def _layout(layer, arrays):
    """The Layout of blocks stored flat; None where the layer and its blobs don't tell it."""
    param = getattr(layer, KINDS[layer.type])
    if param.block_output_dim:
        return Layout(param.block_output_dim, param.block_input_dim)
    if layer.type == "SparseOrthogonalInnerProduct" and len(arrays) == len(blob_names(param)):
        return Layout(*arrays[-1].astype(int).T.tolist())           # cropped: a blob of sizes
    return None


def spectrum(layer, array):
    """The LayerSpectrum of a LayerParameter with those weights, as read_layers gives them."""
    if isinstance(array, list):
        blocks = [unit_rows(block) for block in array]
    else:
        transposed = layer.type == "InnerProduct" and layer.inner_product_param.transpose
        blocks = [unit_rows(array, transposed)]
    entries = np.concatenate([block.ravel() for block in blocks])
    if not np.isfinite(entries).all():
        raise Error(f"layer '{layer.name}': its weights are not finite")
    m, n = (sum(sizes) for sizes in zip(*(block.shape for block in blocks)))
    shapes = collections.Counter(block.shape for block in blocks)
    values = {shape: singular_values(np.stack([block for block in blocks if block.shape == shape]))
              for shape in shapes}
    together = np.sort(np.concatenate(list(values.values())))[::-1]
    laws = _laws(layer, array, shapes)
    beyond = sum(int((values[shape] ** 2 > law.b).sum()) for shape, law in laws.items())
    squares = eigenvalues(together, m, 1)
    return LayerSpectrum(
        layer.name, layer.type, (m, n), entries.size / m, float(entries.var()),
        [(number * rows / m, laws[rows, columns]) for (rows, columns), number in shapes.items()
         if laws], squares, beyond if laws else None, measures(blocks, together),
        *_tail(array, squares))


def _laws(layer, array, shapes):
    """{shape of blocks: MarchenkoPastur of what the filler draws for them}; {} if unknown."""
    laws = {}
    for rows, columns in shapes:
        initial = initial_variance(layer, (rows, columns) if isinstance(array, list)
                                   else array.shape)
        if not initial:
            return {}
        laws[rows, columns] = MarchenkoPastur(rows / columns, columns * initial)
    return laws


def _tail(array, squares):
    if not isinstance(array, list) and array.ndim == 4 and array[0, 0].size > 1:
        slices = array.reshape(*array.shape[:2], -1).transpose(2, 0, 1)
        squares = singular_values(slices) ** 2
    squares = squares[squares > 1e-12 * squares[0]]
    try:
        return squares, power_law(squares)
    except Error:
        return squares, None


def initial_variance(layer, shape):
    """The variance of the independent entries that a layer's filler draws; None if it draws others.

    shape: of the weights; of a layer of blocks that of a block.
    """
    filler = getattr(layer, KINDS[layer.type]).weight_filler
    return variance(filler, shape) if filler.type in INDEPENDENT else None


def table(spectra):
    """The lines of a table."""
    rows = [COLUMNS] + [_row(s) for s in spectra]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join([row[0].ljust(widths[0]),
                       *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
            for row in rows]


def _row(s):
    (m, n), numbers = s.shape, s.measures
    fit = ("-", "-", "-") if s.fit is None else (
        f"{s.fit.alpha:.2f}", f"{s.fit.distance:.3f}", str(s.fit.tail))
    return (s.name, f"{m} x {n}", f"{n / m:.3g}", f"{s.inputs * s.variance:.3g}",
            "-" if s.initial is None else f"{s.initial:.3g}",
            "-" if s.beyond is None else str(s.beyond), f"{numbers['frobenius']:.4g}",
            f"{numbers['spectral']:.4g}", f"{numbers['nuclear']:.4g}",
            f"{numbers['stable_rank']:.3g}", f"{numbers['frame_potential'] / m:.3g}", *fit)


def plot(s):
    """The figure of a layer: the density of eigenvalues, the law at the start, and the tail."""
    figure = style.new_figure(8, 3.6)
    left, right = figure.subplots(1, 2)
    m, n = s.shape
    style.clean(left, "density", f"{s.name}: eigenvalues of W W$^T$, Q = {n / m:.3g}")
    left.hist(s.eigenvalues, bins=min(60, max(10, len(s.eigenvalues) // 4)), density=True,
              color=style.COLORS[0], alpha=0.6, label="the weights")
    if s.laws:
        x = np.linspace(min(law.a for _, law in s.laws), max(law.b for _, law in s.laws), 400)
        left.plot(x, sum(share * law.density(x) for share, law in s.laws), color=style.COLORS[1],
                  label=f"Marchenko-Pastur, n variance = {s.initial:.3g}")
    left.set_xlabel("eigenvalue")
    left.legend(fontsize=8, frameon=False)
    _plot_tail(right, s)
    return figure


def _plot_tail(axes, s):
    """How many of the values that the power law was fitted to lie above each, and the law."""
    style.clean(axes, "values above", "their tail")
    axes.loglog(s.fitted, np.arange(1, len(s.fitted) + 1), ".", markersize=3, color=style.COLORS[0])
    if s.fit:
        x = np.array([s.fit.x_min, s.fitted[0]])
        axes.plot(x, s.fit.tail * (x / s.fit.x_min) ** (1 - s.fit.alpha), color=style.COLORS[1],
                  label=f"power law, alpha = {s.fit.alpha:.2f}")
        axes.legend(fontsize=8, frameon=False)
    axes.set_xlabel("eigenvalue")
