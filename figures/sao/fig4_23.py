"""Fig. 4.23: a sparse 4 x 4 matrix in compressed sparse rows (CSR).

Thesis: Section 4.5: values, their columns, where each row begins: 21 numbers. Make:
python figures/make.py sao.fig4_23 --scale full (at once).
"""

import scipy.sparse

from .common import runs
from .storage_example import comparison, example, numbers_of, picture

__all__ = ["runs"]
PRINTED = {"col": (0, 2, 3, 1, 2, 2, 3, 1), "rowptr": (0, 3, 5, 7, 8)}
TOTAL = 21


def notes(scale):
    return []


def measure(scale, load):
    matrix = example("CSR")
    stored = scipy.sparse.csr_array(matrix)
    arrays = {"nnz": stored.data, "col": stored.indices, "rowptr": stored.indptr}
    restored = scipy.sparse.csr_array(tuple(arrays.values()), matrix.shape)
    return numbers_of(matrix, arrays, restored.toarray())


def compare(numbers):
    return comparison(numbers, PRINTED, TOTAL)


def draw(numbers):
    return picture(numbers, "compressed sparse rows (CSR)")
