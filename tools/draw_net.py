"""Draw the graph of a net, with blob shapes and parameter counts, as PNG, SVG or .dot.

Shapes and counts need the net to be built, and that its data: without them, the graph alone is
drawn. PNG and SVG need the package graphviz (pip install "minicaffe[draw]") and the program dot.
"""

import sys

from minicaffe import cli, draw
from minicaffe.analysis.shapes import build_net, parse_shapes
from minicaffe.errors import Error
from minicaffe.proto import text, upgrade


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/draw_net.py prototxt/lenet/train_test.prototxt "
                                 "lenet.svg --rankdir TB")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("out", metavar="OUT.png|svg|dot", help="the ending chooses the format")
    parser.add_argument("--rankdir", choices=draw.RANKDIRS, default="LR",
                        help="where the data flow: left to right, top to bottom ... (%(default)s)")
    parser.add_argument("--phase", choices=("TRAIN", "TEST", "ALL"), default="ALL",
                        help="draw what this phase includes (default: %(default)s; shapes are then "
                             "those of TEST)")
    parser.add_argument("--input", metavar="NAME=SIZES", action="append",
                        help="shape of a data layer whose data isn't there, as data=64x1x28x28")
    cli.add_state(parser)
    args = parser.parse_args(argv)
    # build_net reads the file again, and warns of an old form
    param, _ = upgrade.upgrade_net(*text.read_net(args.net), args.net, warn=False)
    param.state.stage.extend(args.stage)
    param.state.level = args.level or param.state.level
    phase = None if args.phase == "ALL" else args.phase
    shapes = parse_shapes(args.input)
    net = None
    try:
        net = build_net(args.net, phase or "TEST", shapes, **cli.net_state(args))
    except Error as error:
        if shapes:
            raise
        print(f"warning: no shapes in the picture: {error}", file=sys.stderr)
    try:
        draw.draw_net_to_file(param, args.out, args.rankdir, phase, net)
    finally:
        if net is not None:
            net.close()
    print(args.out)


if __name__ == "__main__":
    sys.exit(cli.run(main))
