"""Pruning methods: the registry, the penalty, masks that grow by a schedule."""

import functools

from ..errors import Error
from ..primitives.elementwise import map_pieces
from ..registry import Registry

_registry = Registry("pruning method")
register_method = _registry.register       # class decorator: @register_method("MAGNITUDE")


def method_class(name):
    """The class of a method's name in PruningParameter."""
    return _registry.find(name, Error)


class Method:
    """Takes entries out of the weights of one layer, over the iterations of a pruning phase.

    param      PruningParameter
    weights    the layer's Blob of weights, of any shape; its mask tells what is left
    biases     its Blob of biases, or None
    transposed    whether the outputs are the last axis of the weights, not the first

    Each iteration calls `penalize(passes)` between the backward passes, whose gradients dw adds up,
    and the update, and `prune(progress, rate)` after it, with progress f = 1/n, 2/n ... 1 of n
    iterations; nothing else is remembered from one iteration to the next, so that weights and masks
    are the whole state.

    penalize:  dw += passes alpha sign(w) where an entry may go: in the mean of the passes the
               gradient of alpha sum |w|; being in dw, it is clipped with all gradients
    prune:     the mask closes over the units of smallest score, share(f) of all that shall go;
               where it has closed, it stays so

    A unit is an entry here; a subclass gives `keep`, how many units stay, and may change `free` and
    the units. Raises Error where the parameters don't fit the weights.
    """

    def __init__(self, param, weights, biases=None, transposed=False):
        self.param, self.weights, self.biases = param, weights, biases
        self.transposed, self.xp = transposed, weights.xp
        self.free = None               # boolean array: entries that may go; None: all
        self._gone_first = None        # scores of units gone; ties would make a partition slow
        self.check()

    def check(self):
        """Refuse parameters that make no sense for these weights."""
        p = self.param
        if p.schedule in (p.CROSSING, p.SOFT):
            raise Error(f"the schedule {p.Schedule.Name(p.schedule)} is of OFF_DIAGONAL alone")
        own = {"num_blocks", "block_input_dim", "block_output_dim", "weight_power", "lr_power"}
        for field, _ in p.ListFields():
            if field.name in own:
                raise Error(f"{field.name} is of OFF_DIAGONAL alone")
        if not p.HasField("target"):
            raise Error("a target must be given: how many stay")
        if p.target > self.units:
            raise Error(f"target {p.target} is more than the {self.units} there are")

    # ---- what subclasses may change

    @property
    def units(self):
        """How many units the weights have."""
        return self.weights.size

    @property
    def keep(self):
        """How many of them stay at the end."""
        return self.param.target

    def scores(self):
        """A flat array of the units' scores, never negative: the smallest go first."""
        return abs(self.weights.data).reshape(-1)

    def left(self):
        """A flat boolean array: which units the mask leaves."""
        return self.weights.mask.reshape(-1)

    def remove(self, units):
        """Close the mask over units given by a flat index array."""
        self.weights.mask.reshape(-1)[units] = False
        self.apply_mask(self.weights)

    # ---- what they use

    def start(self):
        """Open masks where there are none yet; called before each iteration, or prune alone."""
        if self.weights.mask is None:
            self.weights.mask = self.xp.ones(self.weights.shape, bool)
        if self._gone_first is None:
            self._gone_first = -self.xp.arange(1, self.units + 1, dtype=self.weights.dtype)

    def apply_mask(self, blob):
        """Zero what the mask, changed in place, no longer leaves."""
        blob.data *= blob.mask

    def penalize(self, passes=1):
        """Add the gradient of the L1 penalty to the weights' diff, so many passes being in it."""
        alpha = passes * self.param.alpha
        if alpha:
            arrays = [self.weights.diff, self.weights.data]
            if self.free is not None:
                arrays.append(self.free)
            add = functools.partial(self._add_penalty, alpha)
            map_pieces(self.xp, add, *arrays, scratch=1)

    def _add_penalty(self, alpha, dw, w, *free_and_scratch):
        *free, step = free_and_scratch
        self.xp.sign(w, out=step)
        step *= alpha
        for may_go in free:
            step *= may_go
        dw += step

    def prune(self, progress, rate):
        """Close the mask further; `rate` is the learning rate of the weights in this iteration."""
        self.remove_smallest(share(self.param.schedule, progress, self.param))

    def remove_smallest(self, part):
        """Leave units - part (units - keep) of the units, those of the largest scores."""
        count = int(round(part * (self.units - self.keep)))
        if count:
            scores = self.xp.where(self.left(), self.scores(), self._gone_first)
            self.remove(self.xp.argpartition(scores, count - 1)[:count])


def share(schedule, progress, names):
    """The part of all that shall go that is gone at a progress f, 0 .. 1.

    LINEAR    f
    CUBIC     1 - (1 - f)^3, fast at first (Zhu and Gupta, arXiv:1710.01878)
    AT_END    nothing before f = 1
    """
    return {names.LINEAR: progress, names.CUBIC: 1 - (1 - progress) ** 3,
            names.AT_END: float(progress >= 1)}[schedule]
