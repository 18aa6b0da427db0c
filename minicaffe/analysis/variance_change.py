"""How one step of training changes the variance of a layer's weights, and which term of it counts.

    change = VarianceChange(solver, "ip1", every=100)
    solver.step(1000)
    change.as_dict()["covariance_term"]
"""

import numpy as np

from ..backend import to_numpy
from ..errors import Error
from .gradient_history import parameter_names


class VarianceChange:
    """Records both terms of the change of Var(W) in a step W <- W - rate g, g the mean gradient:

    gradient_term     rate^2 Var(g)
    covariance_term   -2 rate Cov(W, g)
    measured          the change that came of the step: their sum, unless momentum, weight decay or
                      clipping took part
    The variance is over the entries of blob 0 of `layer`. Iterations 0, every, 2 every ... are
    recorded, with `variance`, that before the step.
    Source: Nesky and Stout, Neural Comput. Appl. 32 (2020), Eq. 4.
    """

    FIELDS = ("iterations", "variance", "gradient_term", "covariance_term", "measured")

    def __init__(self, solver, layer, every=1):
        names = parameter_names(solver.net)
        if f"{layer}[0]" not in names:
            raise Error(f"layer '{layer}' has no learnable parameter of its own; known are "
                        + ", ".join(names))
        if every < 1:
            raise Error(f"every must be at least 1, not {every}")
        self.solver, self.layer, self.every = solver, layer, every
        self._rows, self._open = [], None            # a row whose step has not been taken yet
        solver.add_callback(on_start=self._finish, on_gradients_ready=self._measure)

    def _blob(self):
        return self.solver.net.params[self.layer][0]

    def _measure(self):
        """Between backward and update."""
        solver = self.solver
        if solver.iter % self.every:
            return
        names = parameter_names(solver.net)
        rate = solver.learning_rate(solver.iter) * solver.net.params_lr[names.index(f"{self.layer}[0]")]
        w, g = (to_numpy(a).astype(np.float64).ravel() for a in (self._blob().data, self._blob().diff))
        g /= solver.param.iter_size
        covariance = np.mean((w - w.mean()) * (g - g.mean()))
        self._open = [solver.iter, w.var(), rate ** 2 * g.var(), -2 * rate * covariance]

    def _finish(self):
        """After the step; on the next iteration's start, or when the rows are asked for."""
        if self._open is not None and self.solver.iter > self._open[0]:
            after = to_numpy(self._blob().data).astype(np.float64).var()
            self._rows.append((*self._open, after - self._open[1]))
            self._open = None

    def as_dict(self):
        """{field: array}, for all steps that have been taken."""
        self._finish()
        columns = np.array(self._rows).reshape(-1, len(self.FIELDS)).T
        return dict(zip(self.FIELDS, [columns[0].astype(np.int64), *columns[1:]]))

    def take_over(self, rows):
        """Begin with the rows of an earlier as_dict, of a run that is being resumed."""
        self._rows[:0] = zip(*(rows[field] for field in self.FIELDS))
