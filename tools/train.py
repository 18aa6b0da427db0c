"""Train a net: tools/train.py NET SOLVER, or with the solver's own net: tools/train.py SOLVER."""

import sys

from minicaffe import backend, cli
from minicaffe.analysis.weight_history import WeightHistory
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
    parser.add_argument("--log", metavar="FILE.jsonl",
                        help="write losses and outputs as JSON lines")
    cli.add_state(parser)
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[],
                        help="override a field of the solver, e.g. base_lr=0.005 (repeatable)")
    parser.add_argument("--record-weights", metavar="LAYER=FILE.npz", action="append", default=[],
                        help="keep this layer's weights of every epoch, for tools/weight_graph.py "
                             "(repeatable); a resumed run goes on in the file")
    parser.add_argument("--record-every", type=int, metavar="N",
                        help="the same every N iterations")
    args = parser.parse_args(argv)
    for option in "weights", "snapshot", "gpu", "log":
        if getattr(args, option) == "":
            parser.error(f"--{option} is empty")
    if len(args.files) > 2:
        parser.error("give at most two files: NET.prototxt SOLVER.prototxt")
    wanted = recordings(parser, args.record_weights)
    param = read_with_net(args.files[-1], *args.files[:-1])
    override(param, args.set)
    set_state(param, args)
    if args.gpu is not None:
        backend.choose(args.gpu, param)
    solver = get_solver(args.files[-1], param=param, cuda_graph=args.cuda_graph)
    histories = [WeightHistory(solver, layer, path, args.record_every)
                 for layer, path in wanted]
    weights = [w for w in (args.weights or "").split(",") if w]
    finished = train(solver, weights, args.snapshot, args.log)
    for history in histories if finished else ():
        history.record()
    return 0 if finished else 130


def set_state(param, args):
    """Train for the options' stages and level, added to the solver's train_state, as Caffe does."""
    param.train_state.stage.extend(args.stage)
    if args.level:
        param.train_state.level = args.level


def recordings(parser, texts):
    """[(layer, path)] of the options LAYER=FILE.npz."""
    for text in texts:
        layer, _, path = text.partition("=")
        if not layer or not path.endswith(".npz"):
            parser.error(f"--record-weights '{text}' is not of the form LAYER=FILE.npz")
    return [text.split("=", 1) for text in texts]


if __name__ == "__main__":
    sys.exit(cli.run(main))
