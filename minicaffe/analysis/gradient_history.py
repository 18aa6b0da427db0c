"""Norms of weights, gradients and updates of every parameter, iteration by iteration.

    history = GradientHistory(minicaffe.get_solver("solver.prototxt"))
    history.run(100)
    history.gradient_norm              # (100, number of parameters), columns as in history.names
    print(history.table())
    history.save("gradients.npz")
"""

import numpy as np

from ..backend import to_numpy
from ..errors import Error
from ..files import atomic_write
from ..primitives.parallel import one_blas_thread

TEST_FIELDS = ("test_net", "test_net_param", "test_iter", "test_interval", "test_state",
               "test_initialization", "snapshot", "snapshot_after_train", "snapshot_prefix")


def train_only(param):
    """Take tests, snapshots and displays out of a SolverParameter: for a look at gradients only."""
    for field in TEST_FIELDS:
        param.ClearField(field)
    param.snapshot_after_train, param.display = False, 0


class GradientHistory:
    """Records what a solver does to each of its learnable parameters.

    names      of the columns: "conv1[0]" is net.params["conv1"][0] (n of them; shared ones once)
    shapes     their shapes                 iterations  the iterations recorded (T,)
    loss       (T,), before the update      and, each (T, n):
    weight_norm       |w|, the Euclidean norm before the update
    gradient_norm     |dw|, summed over iter_size passes; not yet scaled, clipped or decayed
    update_norm       |v|, of what was subtracted from w
    ratio             |v| / |w|, NaN where w = 0
    gradient_zeros, weight_zeros    share of entries that are exactly 0, a fraction
    """

    FIELDS = ("weight_norm", "gradient_norm", "update_norm", "ratio", "gradient_zeros",
              "weight_zeros")

    def __init__(self, solver):
        self.solver = solver
        self.names = parameter_names(solver.net)
        self.shapes = [blob.shape for blob in solver.net.learnable_params]
        self._iterations, self._loss = [], []
        self._rows = {field: [] for field in self.FIELDS}
        self._before = None                       # what was measured since the last update
        solver.add_callback(on_gradients_ready=self._measure_gradients)

    def run(self, iterations):
        """Train that many iterations, recording each."""
        if iterations < 1:
            raise Error(f"iterations must be at least 1, not {iterations}")
        for _ in range(iterations):
            self.solver.step(1)
            self._measure_updates()

    def __len__(self):
        return len(self._iterations)

    def __getattr__(self, name):
        if name in self.FIELDS:
            return np.array(self._rows[name]).reshape(len(self), len(self.names))
        raise AttributeError(name)

    @property
    def iterations(self):
        return np.array(self._iterations, dtype=np.int64)

    @property
    def loss(self):
        return np.array(self._loss)

    def _measure_gradients(self):
        """Between backward and update: the weights, and the gradients as backward left them."""
        blobs = self.solver.net.learnable_params
        with one_blas_thread():
            self._before = {
                "weight_norm": [norm(blob.data) for blob in blobs],
                "gradient_norm": [norm(blob.diff) for blob in blobs],
                "weight_zeros": [share_of_zeros(blob.data) for blob in blobs],
                "gradient_zeros": [share_of_zeros(blob.diff) for blob in blobs]}

    def _measure_updates(self):
        """After the update, which is left in the diffs."""
        row, blobs = self._before, self.solver.net.learnable_params
        with one_blas_thread():
            row["update_norm"] = [norm(blob.diff) for blob in blobs]
        row["ratio"] = [v / w if w else np.nan
                        for v, w in zip(row["update_norm"], row["weight_norm"])]
        for field, values in row.items():
            self._rows[field].append(values)
        self._iterations.append(self.solver.iter - 1)
        self._loss.append(self.solver.smoothed_loss)

    def as_dict(self):
        """All arrays by name, as they are saved."""
        shapes = np.array(["x".join(map(str, shape)) for shape in self.shapes])
        return {"names": np.array(self.names), "shapes": shapes, "iterations": self.iterations,
                "loss": self.loss, **{field: getattr(self, field) for field in self.FIELDS}}

    def save(self, path):
        """Write the arrays as .npz (names as in as_dict), whole or not at all."""
        with atomic_write(path) as file:
            np.savez(file, **self.as_dict())

    def table(self):
        """A text table, a line a parameter: norms at the first and the last iteration, the rest as
        medians over all of them (zeros of the weight: at the last)."""
        name_width = max(map(len, ["parameter", *self.names]))
        shapes = [" x ".join(map(str, shape)) for shape in self.shapes]
        shape_width = max(map(len, ["shape", *shapes]))
        lines = [f"{'':{name_width}}  {'':{shape_width}}  {'|weight|':^18}  {'|gradient|':^18}  "
                 f"{'|update|':^18}  {'|update|':>9} {'% zeros in':>16}",
                 f"{'parameter':{name_width}}  {'shape':{shape_width}}  "
                 + f"{'first':>9}{'last':>9}  " * 3
                 + f"{'/|weight|':>9} {'weight':>7} {'gradient':>8}"]
        for j, (name, shape) in enumerate(zip(self.names, shapes)):
            norms = [getattr(self, field)[[0, -1], j]
                     for field in ("weight_norm", "gradient_norm", "update_norm")]
            lines.append(f"{name:{name_width}}  {shape:{shape_width}}  "
                         + "".join(f"{first:9.3g}{last:9.3g}  " for first, last in norms)
                         + f"{_median(self.ratio[:, j], '.2g'):>9} "
                         f"{100 * self.weight_zeros[-1, j]:7.1f} "
                         f"{_median(100 * self.gradient_zeros[:, j], '.1f'):>8}")
        return "\n".join(lines)


def parameter_names(net):
    """The names of a net's learnable parameters: "conv1[0]", "conv1[1]", ..."""
    names = {id(blob): f"{layer}[{i}]" for layer, blobs in reversed(net.params.items())
             for i, blob in reversed(list(enumerate(blobs)))}
    return [names[id(blob)] for blob in net.learnable_params]


def norm(array):
    """The Euclidean norm of all entries, a float; in double precision, or small squares vanish."""
    return float(np.linalg.norm(to_numpy(array).astype(np.float64).reshape(-1)))


def share_of_zeros(array):
    """The fraction of entries that are exactly 0 (0 for an empty array)."""
    array = to_numpy(array)
    return 1 - np.count_nonzero(array) / array.size if array.size else 0.0


def _median(values, form):
    values = values[np.isfinite(values)]
    return format(np.median(values), form) if len(values) else "-"
