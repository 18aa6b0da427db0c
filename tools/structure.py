"""Put a structured matrix in the place of a trained InnerProduct's dense one.

Writes OUT.prototxt, the net with the layer replaced, and OUT.caffemodel; tools/train.py --weights
goes on from there. --as sss: sequentially semiseparable, by balanced reduction (without --stages
the best number of stages for --param-share); bdip: the diagonal blocks alone; sao: the weights on a
random union of complete bipartite graphs; low_rank: two layers, by a singular value decomposition.
"""

import sys

from minicaffe import TEST, cli
from minicaffe.analysis.shapes import build_net, parse_shapes
from minicaffe.analysis.summary import summarize
from minicaffe.errors import Error
from minicaffe.net.head import head_net
from minicaffe.net.structure import KINDS, freeze_others, replace
from minicaffe.proto import text, upgrade
from minicaffe.proto.weights import write_binary

# kind -> its options, the needed ones first
OPTIONS = {"sss": ("param_share", "state_dim", "stages"), "bdip": ("num_blocks",),
           "sao": ("degree", "seed"), "low_rank": ("rank",)}


def main(argv=None):
    args = arguments(argv)
    options = structure_options(args)
    shapes, features = parse_shapes(args.input), (args.features or "").split(",")
    if args.features is not None and (len(features) != 2 or not all(features)):
        raise Error(f"--features {args.features}: must be two, TRAIN,TEST")
    net = upgrade.read_net(args.net)[0]
    weights = upgrade.read_weights(args.weights)
    before = {layer.name for layer in net.layer}
    new, new_weights, change = replace(net, weights, args.layer, args.kind, **options)
    made = {layer.name for layer in new.layer} - before | {args.layer}
    report(args.layer, change, weights, net_multiply_adds(args, shapes))
    if args.freeze_others:
        new = freeze_others(new, new_weights, made)
    if args.features:
        sources = dict(zip(("TRAIN", "TEST"), features))
        first = next(layer.name for layer in new.layer if layer.name in made)
        text.write(head_net(new, first, sources, "LMDB"), f"{args.out}_head.prototxt")
    text.write(new, f"{args.out}.prototxt")
    write_binary(new_weights, f"{args.out}.caffemodel")


def arguments(argv):
    parser = cli.parser(__doc__, "python tools/structure.py prototxt/lenet/train_test.prototxt "
                                 "runs/lenet_iter_10000.caffemodel \\\n      --layer ip1 --as sss "
                                 "--param-share 0.2 --out runs/lenet_sss --freeze-others")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("weights", metavar="WEIGHTS.caffemodel")
    parser.add_argument("--layer", metavar="NAME", required=True, help="an InnerProduct layer")
    parser.add_argument("--as", choices=KINDS, dest="kind", required=True)
    cli.add_out(parser, "--out", required=True)
    parser.add_argument("--stages", type=int, metavar="P", help="sss: how many stages")
    parser.add_argument("--param-share", type=float, metavar="S",
                        help="sss: the share of the dense weights it may have, 0.2 for a fifth")
    parser.add_argument("--state-dim", type=int, metavar="D",
                        help="sss: entries of a state, in place of --param-share")
    parser.add_argument("--num-blocks", type=int, metavar="B", help="bdip: how many blocks")
    parser.add_argument("--degree", type=int, metavar="D",
                        help="sao: how many weights stay along the larger dimension")
    parser.add_argument("--seed", type=cli.seed, metavar="N", help="sao: of the graph (default: 0)")
    parser.add_argument("--rank", type=int, metavar="R", help="low_rank: the rank")
    parser.add_argument("--freeze-others", action="store_true",
                        help="only the new layer learns: lr_mult is 0 in all others")
    parser.add_argument("--features", metavar="TRAIN,TEST",
                        help="write OUT_head.prototxt as well: the net from the new layer on, "
                             "which reads what comes before it from these LMDBs (see "
                             "tools/extract_features.py)")
    parser.add_argument("--input", metavar="NAME=SIZES", action="append",
                        help="count the multiply-adds of the whole net too, for this shape of its "
                             "data, as data=1x3x227x227; may be repeated")
    return parser.parse_args(argv)


def structure_options(args):
    """{option: value} for the kind of structure. Raises Error for one of another kind."""
    given = {name: getattr(args, name) for names in OPTIONS.values() for name in names
             if getattr(args, name) is not None}
    own = OPTIONS[args.kind]
    for name in given:
        if name not in own:
            raise Error(f"--{name.replace('_', '-')} is not for --as {args.kind}")
    needed = own[:2] if args.kind == "sss" else own[:1]
    if sum(name in given for name in needed) != 1:
        what = " or ".join(f"--{name.replace('_', '-')}" for name in needed)
        raise Error(f"--as {args.kind} needs {what}" + " alone" * (len(needed) > 1))
    return given


def net_multiply_adds(args, shapes):
    """(multiply-adds of a pass of the old net, rows that the layer gets in it), None unasked."""
    if not shapes:
        return None
    net = build_net(args.net, TEST, shapes)
    summary = summarize(net)
    net.close()
    for row in summary.layers:
        if row.name == args.layer:
            return summary.multiply_adds, net.layer_dict[args.layer].M
    raise Error(f"layer '{args.layer}' is not there in phase TEST")


def report(layer, change, weights, of_net):
    """Print sizes before and after, and the error."""
    print(f"{layer}: {change.words}")
    total = sum(blob_size(blob) for stored in weights.layer for blob in stored.blobs)
    rows = [("parameters", *change.params), ("multiply-adds a row", *change.multiply_adds),
            ("parameters of the net", total, total + change.params[1] - change.params[0])]
    if of_net:
        old, passes = of_net
        rows.append(("multiply-adds of the net", old, old + passes * (
            change.multiply_adds[1] - change.multiply_adds[0])))
    for what, old, new in rows:
        print(f"  {what:26} {old:15,} to {new:15,}   {100 * new / old:6.2f} %")
    share = 100 * change.error / change.norm if change.norm else 0
    bound = "" if change.bound is None else f", by theory at most {change.bound:.4g}"
    print(f"  Frobenius norms: weights {change.norm:.4g}, error {change.error:.4g} "
          f"({share:.2f} %){bound}")


def blob_size(blob):
    """How many numbers a BlobProto holds."""
    return len(blob.data) or len(blob.double_data)


if __name__ == "__main__":
    sys.exit(cli.run(main))
