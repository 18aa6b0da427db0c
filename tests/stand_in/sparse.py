"""cupyx.scipy.sparse's stand-in: matrices in CSR format and their products with dense ones."""

import types

import scipy.sparse

from .arrays import apply, asarray, ndarray


class CsrMatrix:
    """csr_matrix((data, indices, indptr), shape) or csr_matrix(dense), all arrays of the device."""

    def __init__(self, arrays, shape=None):
        if isinstance(arrays, ndarray):
            shape, matrix = arrays.shape, scipy.sparse.csr_matrix(arrays.get())
            arrays = [asarray(a) for a in (matrix.data, matrix.indices, matrix.indptr)]
        if not all(isinstance(array, ndarray) for array in arrays):
            raise TypeError("csr_matrix takes arrays of the device")
        self.arrays, self.shape = arrays, shape

    def __matmul__(self, dense):
        def product(data, indices, starts, dense):
            return scipy.sparse.csr_matrix((data, indices, starts), self.shape) @ dense
        return apply("csr product", product, (*self.arrays, dense))


def module():
    """What `import cupyx.scipy.sparse` gives."""
    sparse = types.ModuleType("cupyx.scipy.sparse")
    sparse.csr_matrix = CsrMatrix
    return sparse
