"""Convert masked InnerProduct layers to sparse orthogonal ones, which store no zeros, or back.

Writes OUT.prototxt and OUT.caffemodel; outputs of the net are the same, and masks go on holding. A
mask must be a union of complete bipartite graphs, as the fillers sao and ramanujan set them.
--merge: successive sparse layers, with element-wise ones between, permute once in place of twice;
blobs between them are then in another order.
"""

import math
import sys

from minicaffe import cli
from minicaffe.errors import Error, NetError
from minicaffe.net.merging import merge_orders
from minicaffe.net.sparsify import DENSE, SPARSE, convert
from minicaffe.proto import text, upgrade
from minicaffe.proto.weights import blob_shape, write_binary

_TYPES = {"compact": SPARSE, "dense": DENSE}


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/sparsify.py net.prototxt net_iter_1000.caffemodel "
                                 "runs/compact --merge")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("weights", metavar="WEIGHTS.caffemodel")
    cli.add_out(parser)
    parser.add_argument("--layer", metavar="NAME", action="append",
                        help="a layer to convert; may be repeated (default: all that can be)")
    parser.add_argument("--to", choices=_TYPES, default="compact", help="(%(default)s)")
    parser.add_argument("--merge", action="store_true",
                        help="merge the orders of successive sparse layers")
    args = parser.parse_args(argv)
    if args.merge and args.to == "dense":
        raise Error("--merge is for sparse layers: it goes with --to compact")
    net = upgrade.read_net(args.net)[0]
    weights = upgrade.read_weights(args.weights)
    new = converted(net, weights, args)
    report(net, weights, *new)
    text.write(new[0], f"{args.out}.prototxt")
    write_binary(new[1], f"{args.out}.caffemodel")


def converted(net, weights, args):
    """The new net and weights; what is left as it is is told."""
    try:
        *new, problems = convert(net, weights, _TYPES[args.to], args.layer)
    except NetError:
        if not args.merge or args.layer:
            raise
        new, problems = (net, weights), []           # all may be sparse already
    for problem in problems:
        print(f"left as it is: {problem}")
    return merge_orders(*new) if args.merge else new


def report(net, weights, new_net, new_weights):
    """Print the layers that have changed, and how many numbers they and all the weights hold."""
    before, after = numbers(weights), numbers(new_weights)
    for old, new in zip(net.layer, new_net.layer):
        if old.type != new.type:
            print(f"{old.name}: {old.type} to {new.type}, {before[old.name]} to {after[old.name]} "
                  "numbers")
        if new.sparse_orthogonal_inner_product_param.permute_output \
                < old.sparse_orthogonal_inner_product_param.permute_output:
            print(f"{old.name}: outputs stay in the blocks' order, the next layer's is for both")
    old, new = (4 * sum(counts.values()) / 2**20 for counts in (before, after))
    print(f"weights: {old:.3f} to {new:.3f} MiB in float32")


def numbers(weights):
    """Layer name -> how many numbers its blobs hold."""
    return {layer.name: sum(math.prod(blob_shape(blob)) for blob in layer.blobs)
            for layer in weights.layer}


if __name__ == "__main__":
    sys.exit(cli.run(main))
