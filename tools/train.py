"""Train a net: tools/train.py NET SOLVER, or with the solver's own net: tools/train.py SOLVER."""

import sys

from minicaffe import backend, cli
from minicaffe.solver import get_solver
from minicaffe.solver.options import override, read_with_net
from minicaffe.solver.train import train


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/train.py prototxt/lenet/train_test.prototxt "
                                 "prototxt/lenet/solver.prototxt --set max_iter=1000")
    parser.add_argument("files", nargs="+", metavar="FILE", help="[NET.prototxt] SOLVER.prototxt")
    parser.add_argument("--weights", metavar="A.caffemodel,B.caffemodel",
                        help="start from these weights, copied by layer name")
    parser.add_argument("--snapshot", metavar="X.solverstate", help="resume this run")
    parser.add_argument("--gpu", metavar="ID|cpu", help="device; default: the solver's solver_mode")
    parser.add_argument("--cuda-graph", action="store_true",
                        help="on a GPU, capture the forward and backward pass once and replay it")
    parser.add_argument("--log", metavar="FILE.jsonl", help="write losses and outputs as JSON lines")
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[],
                        help="override a field of the solver, e.g. base_lr=0.005 (repeatable)")
    args = parser.parse_args(argv)
    for option in "weights", "snapshot", "gpu", "log":
        if getattr(args, option) == "":
            parser.error(f"--{option} is empty")
    if len(args.files) > 2:
        parser.error("give at most two files: NET.prototxt SOLVER.prototxt")
    param = read_with_net(args.files[-1], *args.files[:-1])
    override(param, args.set)
    if args.gpu is not None:
        backend.choose(args.gpu, param)
    solver = get_solver(args.files[-1], param=param, cuda_graph=args.cuda_graph)
    finished = train(solver, [w for w in (args.weights or "").split(",") if w], args.snapshot, args.log)
    return 0 if finished else 130


if __name__ == "__main__":
    sys.exit(cli.run(main))
