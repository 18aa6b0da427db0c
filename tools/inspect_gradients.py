"""Train a net for some iterations and show what happens to its gradients.

Printed and plotted, for every parameter: the norms of weight, gradient (as backward leaves it) and
update (as it is subtracted), the ratio of update to weight, and the shares of zeros. Written:
PREFIX.png, and PREFIX.npz with one row an iteration of each. Tests and snapshots are left out.
"""

import os
import sys

from minicaffe import backend, cli
from minicaffe.analysis.gradient_history import GradientHistory, train_only
from minicaffe.analysis.gradient_plot import plot_history
from minicaffe.errors import WeightsError
from minicaffe.solver import get_solver
from minicaffe.solver.options import override, read_with_net


def main(argv=None):
    lenet = "prototxt/lenet/train_test.prototxt prototxt/lenet/solver.prototxt"
    parser = cli.parser(__doc__, f"python tools/inspect_gradients.py {lenet} --iterations 200")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("solver", metavar="SOLVER.prototxt")
    parser.add_argument("--iterations", type=int, default=100, metavar="N",
                        help="how many to train (default: %(default)s)")
    parser.add_argument("--out", metavar="PREFIX", default="gradients",
                        help="beginning of the files' names (default: %(default)s)")
    parser.add_argument("--weights", metavar="A.caffemodel", help="start from these weights")
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[],
                        help="override a field of the solver, e.g. base_lr=0.005 (repeatable)")
    parser.add_argument("--gpu", metavar="ID|cpu", help="device; default: the solver's solver_mode")
    args = parser.parse_args(argv)
    if not os.path.basename(args.out):                     # else PREFIX.png is a hidden file
        parser.error(f"--out '{args.out}' ends without a name, as in {args.out}gradients")
    param = read_with_net(args.solver, args.net)
    override(param, args.set)
    train_only(param)
    if args.gpu is not None:
        backend.choose(args.gpu, param)
    solver = get_solver(args.solver, param=param)
    if args.weights is not None and not solver.net.copy_from(args.weights):
        raise WeightsError(f"{args.weights}: holds no weights for any layer of the net")
    history = GradientHistory(solver)
    try:
        history.run(args.iterations)
    finally:                       # a run that blows up is worth a look too
        solver.close()
        if len(history):
            report(history, args.out)


def report(history, prefix):
    """Print the table, write the .npz and the picture."""
    loss, solver = history.loss, history.solver
    title = (f"{solver.net.name or 'net'}, {solver.type}, {len(history)} iterations, "
             f"loss {loss[0]:.4g} to {loss[-1]:.4g}")
    print(title, history.table(), sep="\n")
    history.save(f"{prefix}.npz")
    plot_history(history, f"{prefix}.png", title)
    print(f"{prefix}.npz, {prefix}.png")


if __name__ == "__main__":
    sys.exit(cli.run(main))
