"""Print what a net is made of: top shapes, parameters, multiply-adds, bytes of every layer."""

import sys

from minicaffe import cli
from minicaffe.net.evaluation import load_weights
from minicaffe.analysis.shapes import build_net, parse_shapes
from minicaffe.analysis.summary import summarize, table


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/summary.py prototxt/lenet/train_test.prototxt "
                                 "--input data=1x1x28x28")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("weights", metavar="WEIGHTS.caffemodel", nargs="?",
                        help="check that these weights fit, and name layers they lack")
    parser.add_argument("--phase", choices=("TRAIN", "TEST"), default="TEST",
                        help="which layers of the file take part (default: %(default)s)")
    parser.add_argument("--input", metavar="NAME=SIZES", action="append",
                        help="give the data layer that makes NAME this shape instead of reading "
                             "its data, as data=64x1x28x28; may be repeated")
    cli.add_state(parser)
    args = parser.parse_args(argv)
    net = build_net(args.net, args.phase, parse_shapes(args.input), **cli.net_state(args))
    try:
        missing = load_weights(net, args.weights) if args.weights else []
        print("\n".join(table(summarize(net))))
    finally:
        net.close()
    for name in missing:
        print(f"warning: {args.weights} has nothing for layer '{name}'", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(cli.run(main))
