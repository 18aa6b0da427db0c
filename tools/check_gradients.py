"""Compare every gradient of a net with central differences of its loss; exit 1 where they clash.

Parameters get the values of their fillers, Input blobs Gaussian values (labels: whole numbers in
range), data layers one batch. In a net without loss, random sums of the outputs are the loss.
"""

import sys

import numpy as np

from minicaffe import Net, backend, cli
from minicaffe.analysis.gradient_check import check_net
from minicaffe.analysis.random_inputs import fill_inputs
from minicaffe.errors import Error
from minicaffe.proto import upgrade

COLUMNS = "{:{}}  {:{}}  {:>7}  {:>5}  {:>9}  {:>9}  {:>12}  {:>12}  {}"


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/check_gradients.py "
                                 "prototxt/lenet/train_test.prototxt --layer conv1")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("--layer", metavar="NAME", help="check this layer only")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64",
                        help="precision; in float32 only gross errors show (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=50, metavar="N",
                        help="entries of each blob, chosen at random (default: %(default)s)")
    parser.add_argument("--phase", choices=("TRAIN", "TEST"), default="TRAIN",
                        help="which layers of the file take part (default: %(default)s)")
    parser.add_argument("--seed", type=cli.seed, default=0, metavar="N",
                        help="of fillers, inputs and the choice of entries (default: %(default)s)")
    cli.add_state(parser)
    cli.add_gpu(parser)
    args = parser.parse_args(argv)
    backend.choose(args.gpu)
    if args.samples < 1:
        raise Error(f"--samples {args.samples} must be at least 1")
    net = build(args)
    try:
        clashes = check(net, args)
    finally:
        net.close()
    return 1 if clashes else 0


def build(args):
    """The net, its inputs filled; with force_backward if it has no loss to start backward from."""
    options = dict(dtype=np.dtype(args.dtype), seed=args.seed, **cli.net_state(args))
    net = Net(args.net, args.phase, **options)
    if not any(net.blob_loss_weights.values()):
        net.close()
        param, _ = upgrade.read_net(args.net)
        param.force_backward = True
        net = Net(param, args.phase, **options)
    fill_inputs(net, np.random.default_rng(args.seed))
    return net


def check(net, args):
    """Print a line for each blob; the number of clashes."""
    layers = max(len("layer"), *map(len, net._layer_names))
    blobs = max(len("weights 0"), *map(len, net.blobs))
    head = COLUMNS.format("layer", layers, "blob", blobs, "entries", "kinks", "max abs", "max rel",
                          "analytic", "numeric", "at")
    printed = []

    def print_result(r):
        if not printed:
            print(head)
        printed.append(r)
        print(COLUMNS.format(r.layer, layers, r.blob, blobs, r.count, r.kinks,
                             f"{r.max_abs_error:.2e}", f"{r.max_rel_error:.2e}",
                             f"{r.analytic:.5g}", f"{r.numeric:.5g}", _remark(r)), flush=True)
    results = check_net(net, args.layer, samples=args.samples,
                        rng=np.random.default_rng(args.seed), report=print_result)
    clashes = [r for r in results if not r.ok]
    kinks = sum(r.kinks for r in results)
    print(f"{sum(r.count for r in results)} entries of {len(results)} blobs compared, "
          f"{kinks} of them at a kink")
    if clashes:
        print(f"{len(clashes)} gradients clash with the differences: begin with "
              f"'{clashes[-1].blob}' of layer '{clashes[-1].layer}', the nearest to the loss")
    else:
        print("all gradients agree")
    return len(clashes)


def _remark(result):
    where = ", ".join(map(str, result.index))
    return " ".join(filter(None, (f"({where})" if result.count else "", result.note,
                                  "" if result.ok else "<- clash")))


if __name__ == "__main__":
    sys.exit(cli.run(main))
