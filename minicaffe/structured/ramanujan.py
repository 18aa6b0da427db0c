"""Sparse orthogonal matrices on Ramanujan graphs: structure, values, to dense matrices and back.

A matrix W (m, n), m outputs and n inputs, joins b disjoint blocks of outputs and inputs: each
output of a block to each of its inputs, and to no other. As a bipartite graph it is a union of b
complete ones; its rows and columns can be permuted to a block diagonal matrix (the thesis's
Conjecture 1), which is what is stored. With orthogonal blocks W is orthogonal.
Source: the thesis on sparsity-aware orthogonal initialisation (SAO), Sections 3.4.1, 3.4.2, 4.5.
"""

import math
from typing import NamedTuple

import numpy as np

from ..errors import Error
from .block_diagonal import Layout
from .orthogonal import orthonormal, relu_form

# How far a sparsity may be off that of a degree: half of the last digit of "99.2 %".
_ROUNDING = 0.0005
_TRIES = 100              # draws of a structure that is cut: one may leave a block without inputs
_CROP_HINT = "; with `crop` a structure may be larger than the matrix and is cut to its size"


class Structure(NamedTuple):
    """Which outputs and inputs each block joins: W[rows][:, columns] is block diagonal.

    rows      (m,) int64: output p of the block diagonal form is output rows[p] of the matrix
    columns   (n,) int64: input q of it is input columns[q]
    layout    block_diagonal.Layout: sizes of the blocks, those of one shape next to each other

    Blocks of one shape stand in the order of their first outputs, the outputs and the inputs of
    a block in rising order: a mask has one Structure.
    """

    rows: np.ndarray
    columns: np.ndarray
    layout: Layout

    @property
    def shape(self):
        """(m, n)"""
        return self.layout.shape

    def mask(self):
        """(m, n) booleans: True where an output is joined to an input."""
        return to_dense(np.ones(self.layout.weights, bool), self)

    def places(self):
        """For each group of layout: (slice of the stored weights, rows, columns).

        weights[slice].reshape(blocks, c, d) lies at matrix[rows, columns], with rows
        (blocks, c, 1) and columns (blocks, 1, d).
        """
        for g in self.layout.groups:
            rows = self.rows[g.first_output:g.first_output + g.blocks * g.outputs]
            columns = self.columns[g.first_input:g.first_input + g.blocks * g.inputs]
            yield (slice(g.first_weight, g.first_weight + g.blocks * g.outputs * g.inputs),
                   rows.reshape(g.blocks, g.outputs, 1), columns.reshape(g.blocks, 1, g.inputs))


# ---- degrees

def valid_degrees(m, n):
    """The degrees that `structure` can give a matrix of m x n, rising; the last one is dense.

    The degree counts the ones along the larger dimension: those of a row if m <= n (d), else those
    of a column (c). The number of blocks b must divide m and n, and then d = n / b and c = m / b.
    """
    if min(m, n) < 1:
        raise Error(f"a matrix of {m} x {n} is empty")
    common = math.gcd(m, n)
    return [max(m, n) // blocks for blocks in range(common, 0, -1) if common % blocks == 0]


def degree_of_sparsity(m, n, sparsity, crop=False, relu=False):
    """The degree that makes the share `sparsity` of a matrix of m x n zero.

    With b blocks that is 1 - 1/b, and the degree max(m, n) / b, where b divides both dimensions;
    with crop, see `structure`, the smaller alone, and the degree is rounded up. With relu that
    holds for a quarter (m/2, n/2), whose degree is half of the whole's. As sparsities are written
    rounded (99.2 % for 1 - 1/128), the nearest one is taken if it is within 0.0005; Error,
    which lists all that there are, if none is.
    """
    parts = 1 + relu
    smaller, larger = sorted((m // parts, n // parts))
    common = smaller if crop else math.gcd(smaller, larger)
    degrees = {blocks: parts * -(-larger // blocks) for blocks in range(common, 0, -1)
               if common % blocks == 0}
    nearest = min(degrees, key=lambda blocks: abs(1 - 1 / blocks - sparsity))
    if not abs(1 - 1 / nearest - sparsity) <= _ROUNDING:
        known = ", ".join(f"{1 - 1 / blocks:.6g} (degree {degrees[blocks]})" for blocks in degrees)
        raise Error(f"sparsity {sparsity:g} does not fit a matrix of {m} x {n}: it can be {known}"
                    + _CROP_HINT * (not crop))
    return degrees[nearest]


# ---- structures

def structure(m, n, degree, rng, crop=False):
    """A random structure of m x n: if m <= n, rows have `degree` ones, d, and columns c = m d / n.

    A matrix M1 of n/d rows has d ones in each row and one in each column, at random places, and c
    copies of it stand on top of each other: block i has the rows i, i + n/d, i + 2n/d ... It is
    drawn as one permutation of the columns by `rng` (a numpy.random.Generator), cut into
    pieces of d. If m > n, the transposed: `degree` is that of a column, c.

    crop: where no structure fits, one as narrow as can be is made for more than n inputs (if m > n:
    outputs) and the last are cut off. Rows of different blocks then differ in their numbers of
    ones. (The thesis's MLP-7: 100 x 1100 of degree 110 becomes 100 x 1024.)

    Raises Error where the degree does not fit, listing those that do; where a cut block
    has fewer inputs than outputs in each of many draws, so that its rows can't be orthogonal.
    """
    if m > n:
        column_block, row_block = _drawn_blocks(n, m, degree, rng, crop)
    else:
        row_block, column_block = _drawn_blocks(m, n, degree, rng, crop)
    return _of_blocks(row_block, column_block)


def _drawn_blocks(smaller, larger, degree, rng, crop):
    """The blocks of each row and of each column of a matrix that is not higher than wide."""
    blocks = _number_of_blocks(smaller, larger, degree, crop)
    for _ in range(_TRIES):
        column_block = np.empty(blocks * degree, np.int64)
        column_block[rng.permutation(blocks * degree)] = np.repeat(np.arange(blocks), degree)
        column_block = column_block[:larger]
        fewest = np.bincount(column_block, minlength=blocks).min()
        if fewest >= smaller // blocks:
            return np.arange(smaller) % blocks, column_block
    raise Error(f"degree {degree} cropped to {smaller} x {larger} leaves a block of "
                f"{smaller // blocks} x {fewest}, which can't be orthogonal along the smaller "
                "dimension: choose another degree")


def _number_of_blocks(smaller, larger, degree, crop):
    degrees = valid_degrees(smaller, larger)
    if degree in degrees:
        return larger // degree
    if crop and 1 <= degree <= larger:
        for blocks in range(-(-larger // degree), smaller + 1):
            if smaller % blocks == 0:
                return blocks
        raise Error(f"degree {degree} is too small for {smaller} x {larger}, cropped: it must be "
                    f"at least {-(-larger // smaller)}")
    raise Error(f"degree {degree} does not fit a matrix with the sides {smaller} and {larger}: it "
                f"can be {', '.join(map(str, degrees))}" + _CROP_HINT)


def _of_blocks(row_block, column_block):
    """The Structure of a matrix by the blocks (any whole numbers) of each row and each column."""
    _, first, row_block, outputs = np.unique(row_block, return_index=True, return_inverse=True,
                                             return_counts=True)
    _, column_block, inputs = np.unique(column_block, return_inverse=True, return_counts=True)
    order = np.lexsort((first, inputs, outputs))
    rank = np.argsort(order)
    return Structure(np.argsort(rank[row_block], kind="stable"),
                     np.argsort(rank[column_block], kind="stable"),
                     Layout(outputs[order].tolist(), inputs[order].tolist()))


def find_structure(mask):
    """The Structure of a given mask (m, n), NumPy booleans or zeros and nonzeros.

    Raises Error where a row or a column is all zero, or rows overlap without being equal.
    """
    mask = np.asarray(mask) != 0
    if mask.ndim != 2 or not mask.size:
        raise Error(f"a mask of shape {mask.shape} is not that of a matrix")
    _check(mask.any(axis=1), "row {} of the mask is all zero: each must be in a block")
    # Rows of one block have their first one in one column, and look like the first of those rows.
    _, first, row_block = np.unique(mask.argmax(axis=1), return_index=True, return_inverse=True)
    kinds = mask[first]
    _check((mask == kinds[row_block]).all(axis=1), "row {} of the mask has ones in common with a "
           "row that is not equal to it: rows must be equal or have none in common")
    uses = kinds.sum(axis=0)
    _check(uses > 0, "column {} of the mask is all zero: each must be in a block")
    _check(uses < 2, "column {} of the mask has ones in rows that are not equal: rows must be "
           "equal or have none in common")
    return _of_blocks(row_block, kinds.argmax(axis=0))


def _check(good, message):
    """Error with the first place where `good` is False."""
    if not good.all():
        raise Error(message.format(good.argmin()))


# ---- values

def orthogonal_values(structure, rng, same=False):
    """Random weights that make a matrix of that structure orthogonal, as its layout stores them.

    (layout.weights,) float64: each block c x d is Haar distributed with orthonormal rows if c <= d,
    else columns. So W W^T = I if m <= n, else W^T W = I. same: all blocks hold the same values.
    Raises Error where `same` is wanted of blocks of different shapes.
    """
    def draw(blocks, c, d):
        return orthonormal(c, d, rng, (blocks,))
    return draw_values(structure, draw, same)


def draw_values(structure, draw, same=False):
    """Weights as the layout stores them, from draw(blocks, c, d), an array (blocks, c, d).

    same, and Error: as in orthogonal_values.
    """
    groups = structure.layout.groups
    if same and len(groups) > 1:
        sizes = ", ".join(f"{g.outputs} x {g.inputs}" for g in groups)
        raise Error(f"blocks of different shapes ({sizes}) can't all hold the same values")
    return np.concatenate([
        np.broadcast_to(draw(1 if same else g.blocks, g.outputs, g.inputs),
                        (g.blocks, g.outputs, g.inputs)).reshape(-1) for g in groups])


def relu_blocks(structure, weights):
    """(Structure, weights) of the ReLU form [[H, -H], [-H, H]] of a stored matrix H (m, n).

    Each block c x d becomes one of 2c x 2d. See orthogonal.relu_form.
    """
    (m, n), layout, rows, columns, blocks = structure.shape, structure.layout, [], [], []
    for part, row, column in structure.places():
        rows.append(np.concatenate([row, row + m], axis=1).reshape(-1))
        columns.append(np.concatenate([column, column + n], axis=2).reshape(-1))
        blocks.append(relu_form(weights[part].reshape(len(row), row.shape[1], -1)).reshape(-1))
    layout = Layout([2 * c for c in layout.outputs], [2 * d for d in layout.inputs])
    return Structure(np.concatenate(rows), np.concatenate(columns), layout), np.concatenate(blocks)


def to_dense(weights, structure):
    """The matrix (m, n) of stored weights, NumPy: zero outside the blocks."""
    flat = weights.reshape(-1)
    if flat.size != structure.layout.weights:
        raise Error(f"{flat.size} weights do not fit a structure that holds "
                    f"{structure.layout.weights}")
    matrix = np.zeros(structure.shape, weights.dtype)
    for part, rows, columns in structure.places():
        matrix[rows, columns] = flat[part].reshape(len(rows), rows.shape[1], -1)
    return matrix


def from_dense(matrix, structure):
    """The blocks of a NumPy matrix (m, n) as stored weights, flat; drops the rest."""
    if matrix.shape != structure.shape:
        raise Error(f"a matrix of shape {matrix.shape} does not fit a structure of "
                    f"{structure.shape}")
    return np.concatenate([matrix[rows, columns].reshape(-1)
                           for _, rows, columns in structure.places()])
