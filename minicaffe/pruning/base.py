"""Pruning methods: the registry, the penalty, masks that grow by a schedule."""

import functools
import math

import numpy as np

from ..errors import Error
from ..primitives.elementwise import map_pieces
from ..primitives.smallest import smallest
from ..registry import Registry

_registry = Registry("pruning method")
register_method = _registry.register       # class decorator: @register_method("MAGNITUDE")
_COMMON = {"layer", "method", "start_iter", "end_iter", "schedule"}       # fields of all methods


def method_class(name):
    """The class of a method's name in PruningParameter."""
    return _registry.find(name, Error)


class Method:
    """Takes entries out of the weights of one layer, over the iterations of a pruning phase.

    param      PruningParameter
    weights    the layer's Blob of weights, of any shape; its mask tells what is left
    biases     its Blob of biases, or None
    transposed    whether the outputs are the last axis of the weights, not the first
    generator     seed -> numpy Generator, for methods that draw

    Each iteration calls `start(seed)` and `penalize(passes)` between the backward passes, whose
    gradients dw adds up, and the update, and `prune(progress, rate)` after it, with progress f =
    1/n, 2/n ... 1 of n iterations; start(seed) and prune(1.0, 0.0) prune at once. Nothing else is
    remembered from one iteration to the next, so that weights, masks and seed are the whole state.

    penalize:  dw += passes alpha sign(w) where an entry may go: in the mean of the passes the
               gradient of alpha sum |w|; being in dw, it is clipped with all gradients
    prune:     the mask closes over the units of smallest score, share(f) of all that shall go;
               where it has closed, it stays so

    A unit is an entry or, where `unit` is KERNEL, all entries of a Convolution between one input
    and one output channel (an InnerProduct's kernels are its weights); its score is the mean |w|,
    so that kernels of different sizes compare. `target` units stay, or the share 1 - sparsity. A
    subclass says by `fields` and `schedules` which of the parameters are its own, and may change
    scores, units and `free`. Raises Error where the parameters don't fit the weights.
    """

    fields = frozenset()           # that are not of all methods
    schedules = ("LINEAR", "CUBIC", "AT_END")

    def __init__(self, param, weights, biases=None, transposed=False,
                 generator=np.random.default_rng):
        self.param, self.weights, self.biases = param, weights, biases
        self.transposed, self.generator, self.xp = transposed, generator, weights.xp
        self.free = None               # boolean array: entries that may go; None: all
        self._seed = None              # of what was drawn last
        self._check_fields()
        self.check()

    def _check_fields(self):
        p, schedule = self.param, self.param.Schedule.Name(self.param.schedule)
        for field, _ in p.ListFields():
            if field.name not in _COMMON | self.fields:
                raise Error(f"{field.name} is of {_owners('fields', field.name)}, not {self.type}")
        if schedule not in self.schedules:
            raise Error(f"the schedule {schedule} is of {_owners('schedules', schedule)}, not "
                        f"{self.type}")

    # ---- what subclasses may change

    def check(self):
        """Refuse parameters that make no sense for these weights."""
        if self.param.scope == self.param.LAYER:
            self.going = self.units - kept(self.param, self.units, self.fields)

    @property
    def units(self):
        """How many units the weights have."""
        kernel = math.prod(self.weights.shape[2:]) if self.param.unit == self.param.KERNEL else 1
        return self.weights.size // kernel

    def rows(self, array):
        """An array of the weights' shape with the entries of each unit as a row: a view."""
        return array.reshape(self.units, -1)

    def draw(self, rng):
        """Take from a Generator the random numbers of the method; nothing here."""

    def scores(self):
        """A flat array of the units' scores: the smallest go first."""
        sizes = abs(self.rows(self.weights.data))
        return sizes.reshape(-1) if sizes.shape[1] == 1 else sizes.sum(axis=1) / sizes.shape[1]

    @property
    def candidates(self):
        """How many units may go, those included that are gone."""
        return self.units

    def left(self):
        """A flat boolean array: the units that may go and are still there."""
        mask = self.rows(self.weights.mask)
        return mask.reshape(-1) if mask.shape[1] == 1 else mask.any(axis=1)

    def remove(self, units):
        """Close the mask over units, an array of indices."""
        for array in self.weights.mask, self.weights.data:
            self.rows(array)[units] = 0                   # + 0, as in weights that are read

    # ---- what they use

    def start(self, seed=0):
        """Open masks where there are none yet, draw by the parameters' random_seed or by `seed`.

        Called before each iteration; it draws anew only where the seed has changed.
        """
        if self.weights.mask is None:
            self.weights.mask = self.xp.ones(self.weights.shape, bool)
        seed = seed if self.param.random_seed < 0 else self.param.random_seed
        if seed != self._seed:
            self._seed = seed
            self.draw(self.generator(seed))

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
        remove_smallest([self], progress, self.going)


class Structured(Method):
    """A method that takes all entries but those of a structure, given by `free`, the others."""

    @property
    def candidates(self):
        return self.going

    def left(self):
        return self.rows(self.free)[:, 0] & super().left()


class Together:
    """Methods of several layers as one, whose units all compete: scope GLOBAL.

    `target` and `sparsity` are of all units together. Raises Error where they don't fit.
    """

    def __init__(self, methods):
        self.methods, self.param = methods, methods[0].param
        units = sum(method.units for method in methods)
        self.going = units - kept(self.param, units, methods[0].fields)

    def start(self, seed=0):
        for method in self.methods:
            method.start(seed)

    def penalize(self, passes=1):
        for method in self.methods:
            method.penalize(passes)

    def prune(self, progress, rate):
        remove_smallest(self.methods, progress, self.going)


def remove_smallest(methods, progress, going):
    """Close masks until share(progress) of `going` units are gone, over all methods together."""
    xp, count = methods[0].xp, round(share(methods[0].param, progress) * going)
    left = [method.left() for method in methods]
    count -= sum(method.candidates - int(xp.count_nonzero(there))
                 for method, there in zip(methods, left))
    if count <= 0:
        return
    scores = [method.scores() for method in methods]
    gone, first = smallest(xp, _joined(xp, scores), _joined(xp, left), count), 0
    for method in methods:
        method.remove(gone[(first <= gone) & (gone < first + method.units)] - first)
        first += method.units


def _joined(xp, arrays):
    return xp.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def share(param, progress):
    """The part of all that shall go that is gone at a progress f, 0 .. 1, by the schedule.

    LINEAR    f
    CUBIC     1 - (1 - f)^3, fast at first (Zhu and Gupta, arXiv:1710.01878)
    others    nothing before f = 1
    """
    if param.schedule == param.LINEAR:
        return progress
    if param.schedule == param.CUBIC:
        return 1 - (1 - progress) ** 3
    return float(progress >= 1)


# ---- how much

def kept(param, units, fields):
    """How many of so many units stay at the end: `target`, or units - round(sparsity * units).

    Halves are rounded to an even number. `fields`: those the method has.
    """
    if given_one(param, *sorted({"target", "sparsity"} & fields)) == "sparsity":
        return units - round(decimal_sparsity(param) * units)
    if param.target > units:
        raise Error(f"target {param.target} is more than the {units} there are")
    return param.target


def given_one(param, *names):
    """The one of these fields that is given. Raises Error where none is, or more than one."""
    given = [name for name in names if param.HasField(name)]
    if len(given) != 1:
        wanted = f"exactly one of {' and '.join(names)}" if names[1:] else names[0]
        raise Error(f"{wanted} must be given, to say how much stays")
    return given[0]


def decimal_sparsity(param):
    """The sparsity as it was written: 0.9, where a float field holds 0.89999998."""
    sparsity = float(str(np.float32(param.sparsity)))
    if not 0 <= sparsity < 1:
        raise Error(f"sparsity must be at least 0 and less than 1, not {sparsity:g}")
    return sparsity


def _owners(what, name):
    """The methods that have a field or a schedule, for messages."""
    *others, last = sorted(kind for kind, cls in _registry.items() if name in getattr(cls, what))
    return f"{', '.join(others)} and {last}" if others else f"{last} alone"
