"""Learning rate policies (sgd_solver.cpp, GetLearningRate)."""

import math

from ..errors import SolverError, unknown

POLICIES = {}


def _policy(*needed):
    def decorate(function):
        POLICIES[function.__name__] = (function, needed)
        return function
    return decorate


class LearningRate:
    """The rate of each iteration i, from base_lr b, gamma g, power p, stepsize s, stepvalues s_k:

    fixed      b                             step       b g^floor(i / s)
    exp        b g^i                         inv        b (1 + g i)^-p
    multistep  b g^(number of s_k <= i)      poly       b (1 - i / max_iter)^p
    sigmoid    b / (1 + exp(-g (i - s)))
    cosine     m + (b - m) (1 + cos(pi i / max_iter)) / 2, from i = max_iter on m    (m = min_lr;
               not Caffe's; Loshchilov and Hutter, arXiv:1608.03983, without restarts)
    multistep advances at most one step an iteration, as Caffe's does; `current_step` is part of
    the solver state.
    With warmup_iter = k (not Caffe's) the rate of iterations i < k is w + (b - w) i / k instead,
    w = warmup_start_lr. The policy counts from 0 of the run all the same: iteration k gets what
    the policy alone would have given it.
    Raises SolverError for an unknown policy or missing or unsorted parameters.
    """

    def __init__(self, param, where=""):
        self.param, self.current_step = param, 0
        self.advanced = None            # (iteration, current_step) of multistep's last advance
        if param.lr_policy not in POLICIES:
            what = unknown("lr_policy", param.lr_policy, POLICIES) if param.lr_policy else \
                "lr_policy is missing: known are " + ", ".join(POLICIES)
            raise SolverError(where + what)
        self._rate, needed = POLICIES[param.lr_policy]
        for field in ("base_lr", *needed):
            missing = not getattr(param, field) if field == "stepvalue" else \
                not param.HasField(field)
            if missing:
                raise SolverError(f"{where}lr_policy '{param.lr_policy}' needs {field}")
        if "stepsize" in needed and param.lr_policy == "step" and param.stepsize < 1:
            raise SolverError(f"{where}stepsize must be positive, not {param.stepsize}")
        steps = list(param.stepvalue)
        if steps != sorted(steps):
            raise SolverError(f"{where}stepvalue must be sorted, not {steps}")
        self._check_own_fields(where)

    def _check_own_fields(self, where):
        p = self.param
        for field in "warmup_iter", "warmup_start_lr", "min_lr":
            if getattr(p, field) < 0:
                raise SolverError(f"{where}{field} must be at least 0, not {getattr(p, field):g}")
        if p.warmup_start_lr and not p.warmup_iter:
            raise SolverError(f"{where}warmup_start_lr {p.warmup_start_lr:g} needs warmup_iter")
        if p.min_lr and p.lr_policy != "cosine":
            raise SolverError(f"{where}min_lr is for lr_policy 'cosine', not '{p.lr_policy}'")
        if p.min_lr > p.base_lr:
            raise SolverError(f"{where}min_lr {p.min_lr:g} is above base_lr {p.base_lr:g}")

    def __call__(self, iteration):
        """The rate of this iteration; asking for it again advances no further step."""
        p = self.param
        rate = p.base_lr * self._rate(self, p, iteration)
        if iteration < p.warmup_iter:
            share = iteration / p.warmup_iter
            return p.warmup_start_lr + (p.base_lr - p.warmup_start_lr) * share
        return rate


@_policy()
def fixed(rate, p, i):
    return 1.0


@_policy("gamma", "stepsize")
def step(rate, p, i):
    rate.current_step = i // p.stepsize
    return p.gamma ** rate.current_step


@_policy("gamma")
def exp(rate, p, i):
    return p.gamma ** i


@_policy("gamma", "power")
def inv(rate, p, i):
    return (1 + p.gamma * i) ** -p.power


@_policy("gamma", "stepvalue")
def multistep(rate, p, i):
    due = rate.current_step < len(p.stepvalue) and i >= p.stepvalue[rate.current_step]
    if due and rate.advanced != (i, rate.current_step):
        rate.current_step += 1
        rate.advanced = i, rate.current_step
    return p.gamma ** rate.current_step


@_policy("power", "max_iter")
def poly(rate, p, i):
    return max(0.0, 1 - i / p.max_iter) ** p.power


@_policy("max_iter")
def cosine(rate, p, i):
    lowest = p.min_lr / p.base_lr if p.base_lr else 0.0
    share = min(1.0, i / p.max_iter) if p.max_iter else 1.0
    return lowest + (1 - lowest) * (1 + math.cos(math.pi * share)) / 2


@_policy("gamma", "stepsize")
def sigmoid(rate, p, i):
    return 1 / (1 + math.exp(min(700, -p.gamma * (i - p.stepsize))))       # exp(710) overflows
