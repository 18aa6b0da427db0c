"""NODE: whole outputs go."""

from .base import Method, register_method


@register_method("NODE")
class Node(Method):
    """The outputs whose weights have the smallest sum |w| go, with their biases, down to `target`.

    An output is a row of an InnerProduct's weights (a column where they are transposed), or a
    filter of a Convolution. Source: Nesky and Stout, Neural Comput. Appl. 32 (2020), Section 4.2.3.
    """

    fields = frozenset({"target", "alpha"})

    @property
    def units(self):
        return self.weights.shape[-1 if self.transposed else 0]

    def rows(self, array):
        return array.T if self.transposed else super().rows(array)

    def remove(self, units):
        super().remove(units)
        if self.biases is not None:
            self.biases.mask[units] = False
            self.biases.data[units] = 0

    def start(self, seed=0):
        super().start(seed)
        if self.biases is not None and self.biases.mask is None:
            self.biases.mask = self.xp.ones(self.biases.shape, bool)
