"""Prune a trained net: small or random weights go, all off a Ramanujan structure or blocks, units.

Writes OUT.caffemodel and, for blocks, OUT.prototxt: the net in which those layers are
BlockInnerProduct. The masks are in the weights file, so that training goes on with what is left.
Units (--units) go with their biases and the weights that read them: OUT.prototxt is a smaller net.
"""

import argparse
import sys

import numpy as np

from minicaffe import TEST, Net, cli
from minicaffe.analysis.weight_history import layer_rows
from minicaffe.backend import to_numpy
from minicaffe.errors import Error
from minicaffe.net.evaluation import load_weights
from minicaffe.net.pruning import condensed_net, prune
from minicaffe.net.units import find_removal, mask_units, smaller_net, smaller_weights
from minicaffe.proto import caffe_pb2, text, upgrade
from minicaffe.pruning.units import CRITERIA, removal_order

# option that says how much stays -> (method unless --method says another, its field)
AMOUNTS = {"weights_left": ("MAGNITUDE", "target"), "sparsity": ("MAGNITUDE", "sparsity"),
           "degree": ("RAMANUJAN", "degree"), "outputs_left": ("NODE", "target"),
           "blocks": ("OFF_DIAGONAL", "num_blocks"),
           "block_inputs": ("OFF_DIAGONAL", "block_input_dim")}
OF_WEIGHTS = ("method", "kernels", "together", "crop", "leave_out", "block_outputs")
OF_UNITS = ("criterion", "mask")


def main(argv=None):
    args = arguments(argv)
    check_options(args)
    source = upgrade.read_net(args.net)
    net = Net(source, TEST, **cli.net_state(args))
    load_weights(net, args.weights)
    if args.units is None:
        prune_weights(args, source[0], net)
    else:
        source, net = remove_units(args, source[0], net)
        if not args.mask:
            text.write(source, f"{args.out}.prototxt")
    net.save(f"{args.out}.caffemodel")
    net.close()


def prune_weights(args, source, net):
    """Prune the weights of the net in place; for blocks write OUT.prototxt."""
    message = pruning_message(args)
    before = {name: left(blobs[0]) for name, blobs in net.params.items()}
    names = prune(net, message)
    for name in names:
        print(f"{name}: {left(net.params[name][0])} of {before[name]} weights are left")
    if message.method == message.OFF_DIAGONAL:
        fields = {field.name: value for field, value in message.ListFields()
                  if field.name in ("num_blocks", "block_input_dim", "block_output_dim")}
        text.write(condensed_net(source, dict.fromkeys(names, fields)), f"{args.out}.prototxt")


def remove_units(args, source, net):
    """(the net's NetParameter, Net) without --units of each layer or, with --mask, with masks.

    A layer's units are chosen by what the removals before have left of it.
    """
    before, rng = size(net), np.random.default_rng(args.seed or 0)
    for name in args.layer:
        find_removal(net, name, [])                       # an error now, if it can't be
        layer = net.layer_dict[name]
        rows = layer_rows(layer.layer_param, to_numpy(layer.blobs[0].data))
        removal = find_removal(net, name, removal_order(rows, args.criterion or "max_mag",
                                                        rng)[:args.units])
        if args.mask:
            mask_units(net, removal)
        else:
            weights, source = smaller_weights(net, removal), smaller_net(source, removal)
            net.close()
            net = Net(source, TEST, **cli.net_state(args))
            net.copy_from(weights)
        print(f"{name}: {removal.keep.sum()} of {len(removal.keep)} units are left")
    print(f"the net: {size(net)} of {before} weights and biases are left")
    return source, net


def size(net):
    """How many weights and biases a net has, without those that masks keep at zero."""
    return sum(left(blob) for blobs in net.params.values() for blob in blobs)


def arguments(argv):
    parser = cli.parser(__doc__, "python tools/prune.py prototxt/lenet/train_test.prototxt "
                                 "runs/lenet_iter_10000.caffemodel runs/pruned --layer ip1 "
                                 "--weights-left 4000")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("weights", metavar="WEIGHTS.caffemodel")
    cli.add_out(parser)
    parser.add_argument("--layer", metavar="NAME", action="append",
                        help="an InnerProduct or Convolution layer; may be repeated (default: all, "
                             "which --outputs-left and blocks are not for)")
    parser.add_argument("--leave-out", metavar="NAME", action="append",
                        help="where no --layer is given, all but this one; may be repeated")
    add_amounts(parser.add_mutually_exclusive_group(required=True))
    parser.add_argument("--block-outputs", type=sizes, metavar="N,N,...",
                        help="the outputs of each of the --block-inputs blocks")
    parser.add_argument("--method", choices=["magnitude", "random", "ramanujan"],
                        help="what --weights-left and --sparsity keep: the largest (the default), "
                             "any, or a random union of complete bipartite graphs")
    parser.add_argument("--kernels", action="store_true",
                        help="count, and take, whole kernels of Convolution layers")
    parser.add_argument("--global", action="store_true", dest="together",
                        help="all layers together have so many, or that sparsity")
    parser.add_argument("--crop", action="store_true",
                        help="ramanujan: a larger structure, cut, where none fits")
    parser.add_argument("--seed", type=cli.seed, metavar="N",
                        help="of what random and ramanujan draw (default: 0)")
    parser.add_argument("--criterion", choices=CRITERIA,
                        help="which units --units takes, one by one: those of the smallest "
                             "norm (max_mag, the default) or contribution to the frame potential "
                             "(max_fp), the largest (min_mag, min_fp), or any")
    parser.add_argument("--mask", action="store_true",
                        help="units: leave the net as it is, with masks over them")
    cli.add_state(parser)
    return parser.parse_args(argv)


def add_amounts(group):
    group.add_argument("--weights-left", type=int, metavar="N",
                       help="keep N weights (or kernels) in each of the layers")
    group.add_argument("--sparsity", type=float, metavar="S",
                       help="take the share S of them, 0.9 for nine tenths")
    group.add_argument("--degree", type=int, metavar="D",
                       help="keep a Ramanujan structure: D ones along the larger dimension")
    group.add_argument("--outputs-left", type=int, metavar="N",
                       help="keep the N outputs of largest sum of magnitudes")
    group.add_argument("--units", type=int, metavar="N",
                       help="take N units, neurons or filters, of each --layer: a smaller net")
    group.add_argument("--blocks", type=int, metavar="B", help="keep B equal diagonal blocks alone")
    group.add_argument("--block-inputs", type=sizes, metavar="N,N,...",
                       help="keep diagonal blocks of so many inputs; see --block-outputs")


def check_options(args):
    """Raise Error for options that don't go with one another."""
    units = args.units is not None
    for option in OF_WEIGHTS if units else OF_UNITS:
        if getattr(args, option):
            raise Error(f"--{'global' if option == 'together' else option.replace('_', '-')} is "
                        + ("not for --units" if units else "for --units alone"))
    if units and args.units < 1:
        raise Error(f"--units: at least 1 unit must go, not {args.units}")
    if units and not args.layer:
        raise Error("--units: which layer? name it by --layer")
    if units and args.seed is not None and args.criterion != "random":
        raise Error("--seed with --units is of --criterion random alone")


def sizes(argument):
    """The type of an option that is a list of whole numbers."""
    numbers = argument.split(",")
    if not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"must be whole numbers, 3,5,4, not {argument}")
    return [int(number) for number in numbers]


def pruning_message(args):
    """The PruningParameter that the options ask for."""
    option = next(option for option in AMOUNTS if getattr(args, option) is not None)
    (method, field), amount = AMOUNTS[option], getattr(args, option)
    if args.method and option not in ("weights_left", "sparsity", "degree"):
        raise Error(f"--method {args.method} is for --weights-left, --sparsity or --degree, not "
                    f"--{option.replace('_', '-')}")
    numbers = amount if isinstance(amount, list) else [amount]
    for number in numbers + (args.block_outputs or []):
        if option != "sparsity" and not 1 <= number < 2**32:
            raise Error(f"{number} can't be left: at least 1, at most what there is")
    method = (args.method or method).upper()
    fields = {field: amount, "layer": args.layer, "leave_out": args.leave_out,
              "block_output_dim": args.block_outputs, "random_seed": args.seed,
              "unit": "KERNEL" if args.kernels else None, "crop": args.crop or None,
              "scope": "GLOBAL" if args.together else None}
    if method in ("RANDOM", "RAMANUJAN") and args.seed is None:
        fields["random_seed"] = 0
    return caffe_pb2.PruningParameter(
        method=method, **{name: value for name, value in fields.items() if value is not None})


def left(blob):
    """How many of a blob's entries no mask keeps at zero."""
    return blob.size if blob.mask is None else int(blob.mask.sum())


if __name__ == "__main__":
    sys.exit(cli.run(main))
