"""Time a training step (forward, backward, update) on random data, beside PyTorch if installed."""

import json
import sys

from minicaffe import cli
from minicaffe.analysis import bench
from minicaffe.datasets.base import checkout
from minicaffe.files import atomic_write


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/bench.py --rounds 5 --json bench.json")
    parser.add_argument("names", nargs="*", metavar="NET",
                        help=f"any of {', '.join(bench.CASES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="processes a side, in turns (%(default)s)")
    parser.add_argument("--steps", type=int, default=50, help="timed steps each (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to this file too")
    args = parser.parse_args(argv)
    unknown = set(args.names) - set(bench.CASES)
    if unknown or args.rounds < 1 or args.steps < 1:
        parser.error(f"unknown net '{unknown.pop()}'" if unknown else "needs a round and a step")
    result = bench.compare(args.names or list(bench.CASES), args.rounds, args.steps,
                           checkout() or ".")
    for name, row in result.items():
        peer = f"   PyTorch {row['torch']:7.2f} ms   ratio {row['ratio']:.2f}" if "ratio" in row \
            else "   (PyTorch is not installed)"
        print(f"{name:8} minicaffe {row['minicaffe']:7.2f} ms{peer}")
    if args.json:
        with atomic_write(args.json, "w") as file:
            json.dump({"machine": bench.machine(), "median_ms": result}, file, indent=1)


if __name__ == "__main__":
    sys.exit(cli.run(main))
