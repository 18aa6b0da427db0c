"""Plot loss, test outputs and learning rate of training logs against the iteration.

A log is what tools/train.py wrote with --log, or the lines that it, or the original Caffe, wrote
to stderr. Several logs go into one picture, a colour each.
"""

import sys

from minicaffe import cli
from minicaffe.analysis.training_log import read_log
from minicaffe.analysis.training_plot import plot_logs


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/plot_log.py runs/slow.jsonl runs/fast.jsonl "
                                 "--out runs/compared.png")
    parser.add_argument("logs", nargs="+", metavar="LOG")
    parser.add_argument("--out", metavar="PNG", default="training.png",
                        help="where to write the picture (default: %(default)s)")
    args = parser.parse_args(argv)
    plot_logs([read_log(path) for path in args.logs], args.out)
    print(args.out)


if __name__ == "__main__":
    sys.exit(cli.run(main))
