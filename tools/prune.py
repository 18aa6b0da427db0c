"""Prune layers of a trained net: its smallest weights, whole outputs, or all but diagonal blocks.

Writes OUT.caffemodel and, for --blocks, OUT.prototxt: the net in which those layers are
BlockInnerProduct. The masks are in the weights file, so that training goes on with what is left.
"""

import sys

from minicaffe import TEST, Net, cli
from minicaffe.errors import Error
from minicaffe.net.evaluation import load_weights
from minicaffe.net.pruning import condensed_net, prune
from minicaffe.proto import caffe_pb2, text, upgrade


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/prune.py prototxt/lenet/train_test.prototxt "
                                 "runs/lenet_iter_10000.caffemodel runs/pruned --layer ip1 "
                                 "--weights-left 4000")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("weights", metavar="WEIGHTS.caffemodel")
    parser.add_argument("out", metavar="OUT", help="what the names of the written files begin with")
    parser.add_argument("--layer", metavar="NAME", action="append", required=True,
                        help="an InnerProduct or Convolution layer; may be repeated")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--weights-left", type=int, metavar="N",
                      help="keep the N weights of largest magnitude in each of the layers")
    what.add_argument("--outputs-left", type=int, metavar="N",
                      help="keep the N outputs of largest sum of magnitudes")
    what.add_argument("--blocks", type=int, metavar="B", help="keep B diagonal blocks alone")
    cli.add_stage(parser)
    args = parser.parse_args(argv)
    source = upgrade.read_net(args.net)
    net = Net(source, TEST, stages=args.stage)
    load_weights(net, args.weights)
    message = pruning_message(args)
    before = {name: left(net, name) for name in args.layer if name in net.params}
    prune(net, message)
    for name in args.layer:
        print(f"{name}: {left(net, name)} of {before[name]} weights are left")
    if args.blocks is not None:
        blocks = dict.fromkeys(args.layer, {"num_blocks": args.blocks})
        text.write(condensed_net(source[0], blocks), f"{args.out}.prototxt")
    net.save(f"{args.out}.caffemodel")
    net.close()


def pruning_message(args):
    """The PruningParameter that the options ask for."""
    kind = {"weights_left": ("MAGNITUDE", "target"), "outputs_left": ("NODE", "target"),
            "blocks": ("OFF_DIAGONAL", "num_blocks")}
    (method, field), number = next((names, getattr(args, option)) for option, names in kind.items()
                                   if getattr(args, option) is not None)
    if not 1 <= number < 2**32:
        raise Error(f"{number} can't be left: at least 1, at most what there is")
    return caffe_pb2.PruningParameter(layer=args.layer, method=method, **{field: number})


def left(net, name):
    """How many of a layer's weights aren't zero."""
    return int((net.params[name][0].data != 0).sum())


if __name__ == "__main__":
    sys.exit(cli.run(main))
