"""How much there is in a weight matrix: norms, ranks, projections, tails, units that repeat others.

    W = net.params["ip1"][0].data
    measures(W)["stable_rank"]
    power_law(singular_values(W) ** 2).alpha
    net.params["ip1"][0].data = rank_projection(W, 10)
    measures(W - W0), residuals(W - W0)              # of the update, what training has added
    net.params["ip1"][0].data = update_projection(W, W0, 16)
Source: Heitmann, Sources of Redundancy in Neural Networks, Section 3.3; Martin and Mahoney,
arXiv:1810.01075; Nagarajan and Kolter, NeurIPS 2019.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ..backend import to_numpy
from ..errors import Error
from ..pruning.units import squared_cosines
from .spectra import singular_values


def unit_rows(weights, transposed=False):
    """(m, n) float64 on the host: a row for each unit, neuron or filter, of a blob's weights.

    transposed: the units are the last axis, as of an InnerProduct with `transpose`.
    """
    weights = to_numpy(weights).astype(np.float64)
    if weights.ndim < 2:
        raise Error(f"an array of shape {weights.shape} has no units")
    return weights.reshape(-1, weights.shape[-1]).T if transposed else \
        weights.reshape(len(weights), -1)


def measures(W, values=None):
    """{name: number} of a matrix W (m, n), or of a list of the blocks along its diagonal.

    frobenius       ||W||_F, the root of the sum of squares
    spectral        the largest singular value
    nuclear         the sum of the singular values
    stable_rank     ||W||_F^2 / spectral^2, at most the rank
    frame_potential     ||X X^T||_F^2, X the rows scaled to norm 1: at least max(m, m^2 / n)
    values: the singular values, largest first, where they are known already.
    """
    values = singular_values(W) if values is None else values
    squares = float((values ** 2).sum())
    stable_rank = squares / values[0] ** 2 if values[0] else 0.0
    return {"frobenius": squares ** 0.5, "spectral": float(values[0]),
            "nuclear": float(values.sum()), "stable_rank": stable_rank,
            "frame_potential": sum(float(squared_cosines(to_numpy(block)).sum())
                                   for block in (W if isinstance(W, list) else [W]))}


def rank_projection(W, k):
    """W_k, the matrix of rank k nearest to W (m, n) in spectral and Frobenius norm; W's dtype."""
    if not 0 <= k <= min(W.shape):
        raise Error(f"rank {k} is not between 0 and {min(W.shape)}: the matrix has shape {W.shape}")
    U, values, Vt = np.linalg.svd(to_numpy(W).astype(np.float64), full_matrices=False)
    return ((U[:, :k] * values[:k]) @ Vt[:k]).astype(W.dtype)


def update_projection(W, W0, k):
    """W_0 + (W - W_0)_k: initial weights W0 and the part of rank k of the update; W's dtype.

    Source: Nagarajan and Kolter, NeurIPS 2019, whose networks keep their accuracy at k = 16 of 1024.
    Raises Error for two shapes, and for ranks as rank_projection does.
    """
    if W.shape != W0.shape:
        raise Error(f"weights of shape {W.shape} are no update of {W0.shape}")
    W, W0 = to_numpy(W), to_numpy(W0)
    return (W0 + rank_projection(W - W0, k)).astype(W.dtype)


def residuals(W):
    """||W - W_k||_F for k = 0, 1 ... min(m, n): an array that falls to 0."""
    squares = singular_values(W) ** 2
    return np.sqrt(np.append(np.cumsum(squares[::-1])[::-1], 0.0))


def elbow(curve):
    """The index at which a falling curve lies farthest below the line between its ends."""
    curve = np.asarray(curve, np.float64)
    line = np.linspace(curve[0], curve[-1], len(curve))
    return int((line - curve).argmax())


class PowerLaw(NamedTuple):
    """A tail p(x) ~ x^-alpha for x >= x_min, as power_law fits it."""

    alpha: float         # the exponent
    x_min: float         # where the tail begins
    distance: float      # of Kolmogorov and Smirnov, between tail and fit
    tail: int            # how many values are in it


def power_law(values, fewest=2):
    """The PowerLaw of positive values, as WeightWatcher fits it to the eigenvalues of W^T W.

    For each value as x_min: alpha = 1 + t / sum ln(x / x_min) over the t values from there on, the
    maximum of the likelihood; of these the fit nearest to the values, by the Kolmogorov-Smirnov
    distance, is taken, with at least `fewest` values above x_min.
    Source: Clauset, Shalizi and Newman, SIAM Review 51 (2009), Section 3.
    Raises Error where fewer than `fewest` + 1 different positive values are given.
    """
    x = np.sort(np.asarray(values, np.float64))
    x = x[x > 1e-12 * x[-1:].sum()]
    starts = np.flatnonzero(np.diff(x, prepend=0) > 0)             # first of equal values
    starts = starts[len(x) - starts > fewest]
    if not len(starts) or x[starts[-1]] == x[-1]:
        raise Error(f"{len(x)} positive values are too few, or too much alike, for a power law")
    logs = np.log(x)
    tails = len(x) - starts
    sums = np.cumsum(logs[::-1])[::-1][starts] - tails * logs[starts]
    alphas = 1 + tails / sums
    distances = np.array([_distance(logs[start:] - logs[start], alpha)
                          for start, alpha in zip(starts, alphas)])
    best = int(distances.argmin())
    return PowerLaw(float(alphas[best]), float(x[starts[best]]), float(distances[best]),
                    int(tails[best]))


def _distance(logs, alpha):
    """Between the steps of sorted ln(x / x_min) and the fit, 1 - (x / x_min)^(1 - alpha)."""
    fitted = -np.expm1((1 - alpha) * logs)
    steps = np.arange(len(logs) + 1) / len(logs)
    return max(np.abs(fitted - steps[:-1]).max(), np.abs(fitted - steps[1:]).max())


def repeated_units(outputs, threshold=0.95):
    """A list of groups, arrays of two units and more, whose outputs go up and down together.

    outputs (samples, units): of one layer, over a data set. Units belong together where the
    correlation of their outputs, or a chain of such correlations, is above the threshold; a unit
    that never changes belongs to none.
    Source: Casper et al., arXiv:1912.04783.
    """
    outputs = np.asarray(outputs, np.float64)
    centred = outputs - outputs.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    alive = norms > 1e-12 * np.abs(outputs).max(initial=0) * len(outputs) ** 0.5
    scaled = centred / np.where(alive, norms, 1)
    close = (scaled.T @ scaled > threshold) & alive & alive[:, None]
    _, labels = connected_components(csr_array(close), directed=False)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return [group for group in groups if len(group) > 1]


def removable_units(W, W0, losses, small_change=0.5, small_loss=0.001):
    """Indices of units that training has changed little and whose removal does little harm.

    W, W0 (m, n): rows after training and at the start; losses (m,): what the accuracy loses when
    the unit alone is removed, as a fraction.
    small_change: ||w - w_0|| is below this part of the median over the units; small_loss: the loss
    is below it.
    Source: Casper et al., arXiv:1912.04783; Heitmann, Section 3.2.
    """
    change = np.linalg.norm(np.asarray(W, np.float64) - W0, axis=1)
    still = change < small_change * np.median(change)
    return np.flatnonzero(still & (np.asarray(losses) < small_loss))
