"""Fig. 4.24: a 4 x 4 matrix on a Ramanujan graph in the thesis's own format.

Thesis: Section 4.5: values, columns of the first block M1, which the others repeat, and the degree:
13 numbers. Make: python figures/make.py sao.fig4_24 --scale full (at once).
"""

import numpy as np

from .common import runs
from .storage_example import comparison, example, numbers_of, picture

__all__ = ["runs"]
PRINTED = {"col": (0, 1, 2, 3), "deg": (2,)}
TOTAL = 13


def notes(scale):
    return []


def measure(scale, load):
    matrix = example("compact")
    m, n = matrix.shape
    degree = np.count_nonzero(matrix[0])
    arrays = {"nnz": matrix[matrix > 0], "col": np.nonzero(matrix[:n // degree])[1],
              "deg": np.array([degree])}
    restored = np.zeros_like(matrix)
    columns = np.tile(arrays["col"].reshape(-1, degree), (m * degree // n, 1))
    np.put_along_axis(restored, columns, arrays["nnz"].reshape(m, degree), axis=1)
    return numbers_of(matrix, arrays, restored)


def compare(numbers):
    return comparison(numbers, PRINTED, TOTAL)


def draw(numbers):
    return picture(numbers, "the thesis's format for Ramanujan graphs")
