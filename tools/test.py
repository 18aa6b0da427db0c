"""Test weights: each batch's outputs, then their means, in the lines that `caffe test` prints."""

import sys

import numpy as np

from minicaffe import TEST, Net, backend, cli
from minicaffe.net.evaluation import evaluate, load_weights


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/test.py prototxt/lenet/train_test.prototxt "
                                 "runs/lenet_iter_10000.caffemodel --iterations 100")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("weights", metavar="WEIGHTS.caffemodel[,MORE.caffemodel]")
    parser.add_argument("--iterations", type=int, default=50, metavar="N",
                        help="number of batches (default: %(default)s)")
    cli.add_gpu(parser)
    cli.add_state(parser)
    args = parser.parse_args(argv)
    backend.choose(args.gpu)
    net = Net(args.net, TEST, **cli.net_state(args))
    for name in load_weights(net, args.weights):
        print(f"warning: {args.weights} has nothing for layer '{name}': it keeps what its fillers "
              "gave it", file=sys.stderr)
    score = evaluate(net, args.iterations, print_batch)
    net.close()
    print(f"Loss: {score.loss:g}")
    for name, mean in score.outputs.items():
        weight = net.blob_loss_weights[name]
        for value in np.ravel(mean):
            loss = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            print(f"{name} = {value:g}{loss}")


def print_batch(number, outputs):
    for name, values in outputs.items():
        for value in np.ravel(backend.to_numpy(values)):
            print(f"Batch {number}, {name} = {value:g}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
