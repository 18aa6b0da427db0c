"""NODE: whole outputs go."""

from .base import Method, register_method


@register_method("NODE")
class Node(Method):
    """The outputs whose weights have the smallest sum |w| go, with their biases, down to `target`.

    An output is a row of an InnerProduct's weights (a column where they are transposed), or a
    filter of a Convolution. Source: Nesky and Stout, Neural Comput. Appl. 32 (2020), Section 4.2.3.
    """

    @property
    def units(self):
        return self.weights.shape[-1 if self.transposed else 0]

    def scores(self):
        return abs(self._rows(self.weights.data)).sum(axis=1)

    def left(self):
        return self._rows(self.weights.mask).any(axis=1)

    def remove(self, units):
        self._rows(self.weights.mask)[units] = False
        self.apply_mask(self.weights)
        if self.biases is not None:
            self.biases.mask[units] = False
            self.apply_mask(self.biases)

    def start(self):
        super().start()
        if self.biases is not None and self.biases.mask is None:
            self.biases.mask = self.xp.ones(self.biases.shape, bool)

    def _rows(self, array):
        """The entries of each output as a row: a view."""
        return array.T if self.transposed else array.reshape(self.units, -1)
