"""Time every layer of a net, forward and backward, like `caffe time`."""

import json
import sys

from minicaffe import Net, backend, cli
from minicaffe.analysis.timing import time_net
from minicaffe.files import atomic_write


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/time.py prototxt/lenet/train_test.prototxt")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("--iterations", type=int, default=50, metavar="N",
                        help="passes to measure, after three to warm up (default: %(default)s)")
    parser.add_argument("--phase", choices=("TRAIN", "TEST"), default="TRAIN",
                        help="which layers of the file take part (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the times there too")
    cli.add_gpu(parser)
    cli.add_state(parser)
    args = parser.parse_args(argv)
    backend.choose(args.gpu)
    net = Net(args.net, args.phase, **cli.net_state(args))
    times = time_net(net, args.iterations)
    net.close()
    print_times(times)
    if args.json:
        with atomic_write(args.json, "w") as file:
            json.dump({"net": args.net, "phase": args.phase, **times.as_dict()}, file, indent=1)


def print_times(times):
    """A table of layers, then the totals in Caffe's words."""
    width = max(len("layer"), *(len(layer.name) for layer in times.layers))
    kinds = max(len("type"), *(len(layer.type) for layer in times.layers))
    print(f"{'':{width + kinds + 2}}  {'forward, ms':>19}  {'backward, ms':>19}  share of")
    print(f"{'layer':{width}}  {'type':{kinds}}  " + f"{'median':>9}{'min':>10}  " * 2 + "    time")
    total = sum(_both(layer) for layer in times.layers)
    for layer in times.layers:
        print(f"{layer.name:{width}}  {layer.type:{kinds}}  {_columns(layer.forward)}  "
              f"{_columns(layer.backward)}  {_both(layer) / total:8.1%}")
    print(f"{times.iterations} iterations")
    for what, span in (("Forward pass", times.forward), ("Backward pass", times.backward),
                       ("Forward-Backward", times.forward_backward)):
        print(f"Average {what}: {span.mean:.3f} ms (median {span.median:.3f}, min {span.min:.3f})")


def _columns(span):
    return f"{span.median:9.3f}{span.min:10.3f}" if span else f"{'-':>9}{'-':>10}"


def _both(layer):
    return layer.forward.median + (layer.backward.median if layer.backward else 0)


if __name__ == "__main__":
    sys.exit(cli.run(main))
