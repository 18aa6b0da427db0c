"""The forward product of a pruned InnerProduct layer in CSR format, to compare with the dense one."""

from ..backend import scipy_module
from ..errors import Error


class CsrProduct:
    """y = x w^T + c, as InnerProduct computes it, with only the nonzero weights stored and used.

    product = CsrProduct(layer);  y = product(x), x (M, K), y (M, N)
    The weights are those of the moment it is made. Raises Error for a layer of another type.
    """

    def __init__(self, layer):
        if layer.type != "InnerProduct":
            raise Error(f"layer '{layer.name}' is of type {layer.type}: CSR products are made of "
                        "InnerProduct layers")
        w = layer.blobs[0].data
        sparse = scipy_module(layer.xp, "sparse")
        self.matrix = sparse.csr_matrix(w.T if layer.param.transpose else w)     # (N, K)
        self.bias = layer.blobs[1].data.copy() if layer.param.bias_term else None

    @property
    def nonzeros(self):
        """How many weights are stored."""
        return self.matrix.nnz

    def __call__(self, x):
        y = (self.matrix @ x.reshape(-1, self.matrix.shape[1]).T).T
        return y if self.bias is None else y + self.bias
