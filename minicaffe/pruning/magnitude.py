"""MAGNITUDE: the smallest entries go, wherever they are."""

from .base import Method, register_method


@register_method("MAGNITUDE")
class Magnitude(Method):
    """Traditional iterative pruning: the entries of smallest |w| go, down to `target` of them.

    Source: Han et al., NIPS 2015, with the L1 penalty of Nesky and Stout, Neural Comput. Appl. 32
    (2020), Section 4.2.1.
    """
