"""Time a training step (forward, backward, update) on random data, beside PyTorch if installed.

With --layers: element-wise and normalisation layers, beside the time memory needs for their data.
"""

import json
import sys

from minicaffe import cli
from minicaffe.analysis import bench, layer_bench
from minicaffe.datasets.base import checkout
from minicaffe.errors import Error
from minicaffe.files import atomic_write


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/bench.py --rounds 5 --json bench.json")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"any of {', '.join(bench.CASES)}, or with --layers of "
                             f"{'; '.join(layer_bench.CASES)} (default: all)")
    parser.add_argument("--layers", action="store_true", help="time single layers, not nets")
    parser.add_argument("--rounds", type=int, default=5,
                        help="processes a side, or repetitions of all layers, in turns (%(default)s)")
    parser.add_argument("--steps", type=int, default=50, help="timed steps each (%(default)s)")
    parser.add_argument("--shape", default="100,64,32,32", help="of the layers' blobs (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to this file too")
    args = parser.parse_args(argv)
    known = layer_bench.CASES if args.layers else bench.CASES
    unknown = set(args.names) - set(known)
    if unknown or args.rounds < 1 or args.steps < 1:
        parser.error(f"unknown name '{unknown.pop()}'" if unknown else "needs a round and a step")
    result = (layers if args.layers else nets)(args, args.names or list(known))
    if args.json:
        with atomic_write(args.json, "w") as file:
            json.dump({"machine": bench.machine(), **result}, file, indent=1)


def nets(args, names):
    """Print and return the medians of training steps."""
    result = bench.compare(names, args.rounds, args.steps, checkout() or ".")
    for name, row in result.items():
        peer = f"   PyTorch {row['torch']:7.2f} ms   ratio {row['ratio']:.2f}" if "ratio" in row \
            else "   (PyTorch is not installed)"
        print(f"{name:8} minicaffe {row['minicaffe']:7.2f} ms{peer}")
    return {"median_ms": result}


def layers(args, names):
    """Print and return the medians of single layers' passes."""
    try:
        shape = tuple(int(d) for d in args.shape.split(","))
    except ValueError:
        raise Error(f"--shape {args.shape}: must be whole numbers with commas between") from None
    copy, bandwidth, rows = layer_bench.time_layers(names, args.rounds, shape)
    print(f"copy of {args.shape} float32: {copy:.2f} ms, {bandwidth:.1f} GB/s")
    for row in rows:
        print(f"{row.name:18} {row.direction:9} {row.ms:8.2f} ms   memory {row.bound_ms:6.2f} ms   "
              f"ratio {row.ratio:.2f}")
    return {"shape": shape, "copy_ms": copy, "layers": [row._asdict() for row in rows]}


if __name__ == "__main__":
    sys.exit(cli.run(main))
