"""Marchenko and Pastur's law against quadrature and simulated matrices; singular values of blocks."""

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from numpy.testing import assert_allclose

from minicaffe.analysis.spectra import (MarchenkoPastur, distance_from_random, eigenvalues,
                                        random_matrix, ratio_to_random, singular_values,
                                        spectral_density, top_ratio,
                                        top_singular_value_change)
from minicaffe.backend import to_device
from minicaffe.errors import Error

LAWS = [(0.2, 1.0), (0.625, 3.0), (1.0, 0.5), (1.6, 6.6e-4), (9.0, 2.0)]
laws = pytest.mark.parametrize("law", [MarchenkoPastur(*law) for law in LAWS],
                               ids=[str(law) for law in LAWS])


def integral(law, function, low=None, high=None):
    """By quadrature in t, x = a + (b - a) sin(t)^2: smooth where the density has roots."""
    width = law.b - law.a
    low, high = (np.arcsin(np.sqrt((x - law.a) / width))
                 for x in (law.a if low is None else low, law.b if high is None else high))

    def inner(t):
        x = law.a + width * np.sin(t) ** 2
        return function(x) * law.density(x) * 2 * width * np.sin(t) * np.cos(t)
    return scipy.integrate.quad(inner, low, high, limit=200)[0]


@laws
def test_mass_and_moments(law):
    """Mass 1; the moments of X X^T / n are s^2, s^4 (1 + y), s^6 (1 + 3y + y^2)."""
    y, s2 = law.ratio, law.variance
    assert_allclose(law.mass_at_zero + integral(law, lambda x: 1), 1, rtol=1e-8)
    for power, moment in (1, s2), (2, s2 ** 2 * (1 + y)), (3, s2 ** 3 * (1 + 3 * y + y * y)):
        assert_allclose(integral(law, lambda x: x ** power), moment, rtol=1e-8)


@laws
def test_cdf_is_the_integral_of_the_density(law):
    for share in 0.03, 0.3, 0.5, 0.97:
        x = law.a + share * (law.b - law.a)
        assert_allclose(law.cdf(x), law.mass_at_zero + integral(law, lambda t: 1, high=x), rtol=1e-8)
    assert_allclose(law.cdf([-1e-9, 0.0, law.b, 2 * law.b]), [0, law.mass_at_zero, 1, 1], atol=1e-12)


@laws
def test_quantile_inverts_the_cdf(law):
    p = law.mass_at_zero + (1 - law.mass_at_zero) * np.array([0.01, 0.2, 0.5, 0.999])
    assert_allclose(law.cdf(law.quantile(p)), p, rtol=1e-9)
    assert_allclose(law.quantile([0.0, 1.0]), [0 if law.ratio > 1 else law.a, law.b], rtol=1e-7, atol=1e-9)
    assert law.quantile(law.mass_at_zero / 2) == (0 if law.ratio > 1 else law.a)


@pytest.mark.parametrize("m, n", [(300, 900), (900, 300), (600, 600)])
def test_simulated_matrix_follows_the_law(m, n):
    variance = 0.7
    X = random_matrix((m, n), variance, np.random.default_rng(0))
    law = MarchenkoPastur(m / n, variance)
    found = np.sort(scipy.linalg.eigvalsh(X @ X.T / n))
    ours = eigenvalues(singular_values(X), m, n)
    assert_allclose(ours, found[::-1], rtol=1e-6, atol=1e-9)
    for x in np.linspace(law.a, law.b, 7)[1:-1]:
        assert abs((ours <= x).mean() - law.cdf(x)) < 0.01
    edges = np.linspace(law.a, law.b, 5)
    expected = m * np.diff(law.cdf(edges))
    counts = m * spectral_density(ours, edges) * np.diff(edges)
    first = int(m == n)                   # then the first bin holds a pole, and the smallest value
    assert abs(counts - expected)[first:].max() < 3      # eigenvalues repel: the counts hardly vary


def test_singular_value_density_is_the_law_in_another_variable():
    law, n = MarchenkoPastur(0.5, 2.0), 40
    low, high = np.sqrt(n * law.quantile([0.2, 0.7]))
    share, _ = scipy.integrate.quad(lambda s: law.singular_value_density(s, n), low, high)
    assert_allclose(share, 0.5, rtol=1e-7)
    assert law.singular_value_density(0.0, n) == 0
    assert_allclose(law.singular_value_density(0.5, 0.25), 4 * law.density(1.0))    # below 1 too


@pytest.mark.parametrize("ratio, variance", [(0, 1), (1, 0), (-1, 1), (np.inf, 1), (1, np.nan)])
def test_law_needs_positive_numbers(ratio, variance):
    with pytest.raises(Error, match="positive ratio and variance"):
        MarchenkoPastur(ratio, variance)


def test_quantile_of_no_probability():
    with pytest.raises(Error, match="between 0 and 1"):
        MarchenkoPastur(1).quantile([0.5, 1.1])


def test_singular_values_of_blocks_are_those_of_the_matrix_they_stand_for(xp):
    rng = np.random.default_rng(1)
    blocks = rng.normal(size=(4, 3, 5)).astype(np.float32)
    dense = scipy.linalg.block_diag(*blocks)
    expected = scipy.linalg.svdvals(dense.astype(float))
    values = singular_values(to_device(blocks))
    assert isinstance(values, np.ndarray) and values.dtype == np.float64
    assert_allclose(values, expected, rtol=1e-6)
    assert_allclose(singular_values(to_device(dense)), expected, rtol=1e-6)


def test_singular_values_of_unequal_blocks():
    rng = np.random.default_rng(2)
    blocks = [rng.normal(size=shape) for shape in ((2, 3), (4, 4), (3, 1))]
    assert_allclose(singular_values(blocks), scipy.linalg.svdvals(scipy.linalg.block_diag(*blocks))[:7],
                    rtol=1e-10)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4, 5)])
def test_singular_values_are_of_matrices(shape):
    with pytest.raises(Error, match="not of an array of shape"):
        singular_values(np.zeros(shape))


def test_marchenko_and_pastur_for_blocks():
    """b blocks of variance b s^2 have the spectrum of the whole matrix with s^2: the paper's point."""
    rng, b = np.random.default_rng(3), 5
    whole = singular_values(random_matrix((400, 600), 0.01, rng))
    blocks = singular_values(random_matrix((b, 400 // b, 600 // b), b * 0.01, rng))
    assert distance_from_random(blocks, whole) < 0.03
    same = singular_values(random_matrix((b, 400 // b, 600 // b), 0.01, rng))
    assert abs(np.median(ratio_to_random(same, whole)) - 1 / np.sqrt(b)) < 0.01


def test_ratio_and_distance():
    assert_allclose(ratio_to_random([3.0, 1, 0], [2.0, 2, 0]), [1.5, 0.5, 1])
    assert distance_from_random([3.0, 1, 0], [2.0, 2, 0]) == pytest.approx(1 / 3)
    with pytest.raises(Error, match="2 singular values can't be divided by order by 3"):
        ratio_to_random([1, 2], [1, 2, 3])


def test_spectral_density_leaves_zeros_to_the_point_mass():
    heights = spectral_density([0, 0, 1e-14, 1, 1.5, 3], [0, 1, 2, 4])
    assert_allclose(heights, [0, 2 / 6, 1 / 12])
    assert_allclose(eigenvalues([2.0, 1.0], 4, 2), [2, 0.5, 0, 0])
    assert_allclose(eigenvalues([2.0, 1.0], 1, 2), [2])


def test_top_ratio_is_free_of_scale():
    rng = np.random.default_rng(4)
    unit, spike = random_matrix((60, 40), 1.0, rng), np.zeros((60, 40))
    spike[0, 0] = 30
    records = [2 * unit, 0.5 * unit, unit + spike]
    values = [singular_values(matrix) for matrix in records]
    ratios = top_ratio(values, [4, 0.25, 1], singular_values(unit))
    assert_allclose(ratios[:2], 1)
    assert 2 < ratios[2] < 3                  # an outlier of 30 + (60 + 40) / 30 / 2 beside 14


def test_change_of_the_top_singular_value(xp):
    rng = np.random.default_rng(5)
    before, step = rng.normal(size=(2, 7, 5))
    errors = []
    for size in 1e-2, 1e-3:
        change, first_order = top_singular_value_change(to_device(before),
                                                        to_device(before + size * step))
        assert change == pytest.approx(scipy.linalg.svdvals(before + size * step)[0]
                                       - scipy.linalg.svdvals(before)[0])
        errors.append(abs(change - first_order))
    assert 50 < errors[0] / errors[1] < 200                       # second order in the step
    with pytest.raises(Error, match=r"from shape \(7, 5\) to \(5, 7\)"):
        top_singular_value_change(before, before.T)
