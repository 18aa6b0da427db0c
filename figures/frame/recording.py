"""What is measured in a training run, as arrays that can be saved and gone on with."""

import numpy as np

from minicaffe.analysis.isometry_history import IsometryHistory
from minicaffe.analysis.spectra import singular_values
from minicaffe.analysis.variance_change import VarianceChange
from minicaffe.backend import to_numpy
from minicaffe.net.evaluation import evaluate


class Recording:
    """Measures a solver whose test nets are the TEST net and, perhaps, the same on training data.

    Arrays by name, T tests or records each:
    test_iterations, test_accuracy, test_loss, train_accuracy, train_loss          (T,)
    record_iterations (T,) and, for each watched layer L,
    L.variance (T,), L.singular_values (T, k), L.iterations and what else VarianceChange gives
    isometry.mean (T,) and what else IsometryHistory gives, if the run asks for it
    L.history (T, ...), the weights themselves, of layers in the run's `history`
    At the end: final_train_accuracy, final_train_loss; L.weights as they are stored; or, of a run
    that may diverge and did, diverged: the iteration whose loss was not finite.
    """

    def __init__(self, run, solver, rows=None):
        self.run, self.solver = run, solver
        self.rows = {name: list(values) for name, values in (rows or {}).items()}
        self.changes = {layer: VarianceChange(solver, layer, run.record) for layer in run.layers}
        for layer, change in self.changes.items():
            mine = {field: self.rows.pop(f"{layer}.{field}") for field in change.FIELDS
                    if f"{layer}.{field}" in self.rows and field != "variance"}
            if mine:
                mine["variance"] = self.rows.pop(f"{layer}.step_variance")
                change.take_over(mine)
        self.isometry = IsometryHistory(solver, run.record) if run.isometry else None
        mine = {name: self.rows.pop(name) for name in list(self.rows)
                if name.startswith("isometry.")}
        if mine:
            self.isometry.take_over({name.partition(".")[2]: mine[name] for name in mine})

    def test(self):
        """Accuracies and losses at this iteration; returns them in words."""
        parts = [("test", 0, self.run.test_batches), ("train", 1, self.run.train_batches)]
        self._add("test_iterations", self.solver.iter)
        said = []
        for name, index, batches in parts[:len(self.solver.test_nets)]:
            accuracy, loss = self._score(index, batches)
            self._add(f"{name}_accuracy", accuracy)
            self._add(f"{name}_loss", loss)
            said.append(f"{name} accuracy {100 * accuracy:.2f} %, loss {loss:.4f}")
        return ", ".join(said)

    def is_best(self):
        """Whether the last test's loss is the lowest since the start, which doesn't count."""
        losses = self.rows["test_loss"][1:]
        return bool(losses) and losses[-1] < np.fmin.reduce(losses[:-1], initial=np.inf)

    def measure(self):
        """Variances and singular values at this iteration."""
        self._add("record_iterations", self.solver.iter)
        if self.isometry:
            self.isometry.measure()
        for layer in self.run.layers:
            weights = self._weights(layer)
            self._add(f"{layer}.variance", weights.astype(np.float64).var())
            self._add(f"{layer}.singular_values", singular_values(weights).astype(np.float32))
        for layer in self.run.history:
            self._add(f"{layer}.history", self._weights(layer).copy())

    def finish(self):
        """What is measured once, when training is done."""
        if self.run.final_train_batches:
            score = self._score(1, self.run.final_train_batches)
            self.rows["final_train_accuracy"], self.rows["final_train_loss"] = score
        for layer in self.run.layers:
            self.rows[f"{layer}.weights"] = self._weights(layer)

    def diverged(self):
        """Note that the loss of this iteration is not finite, instead of `finish`."""
        self.rows["diverged"] = self.solver.iter

    def as_dict(self):
        """All arrays by name."""
        rows = dict(self.rows)
        for layer, change in self.changes.items():
            for field, values in change.as_dict().items():
                rows[f"{layer}.{'step_variance' if field == 'variance' else field}"] = values
        if self.isometry:
            rows.update({f"isometry.{field}": values
                         for field, values in self.isometry.as_dict().items()})
        return {name: np.asarray(values) for name, values in rows.items()}

    def _weights(self, layer):
        return to_numpy(self.solver.net.params[layer][0].data)

    def _score(self, index, batches):
        score = evaluate(self.solver.test_nets[index], batches)
        return float(score.outputs["accuracy"]), score.loss

    def _add(self, name, value):
        self.rows.setdefault(name, []).append(value)
