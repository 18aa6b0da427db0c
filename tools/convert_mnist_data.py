"""Convert MNIST's IDX files (plain or .gz) to an LMDB, as Caffe's convert_mnist_data does."""

import sys

from minicaffe import cli
from minicaffe.datasets.convert import convert_mnist


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/convert_mnist_data.py data/mnist/train-images-idx3-"
                                 "ubyte.gz \\\n      data/mnist/train-labels-idx1-ubyte.gz "
                                 "data/mnist_train_lmdb")
    parser.add_argument("images", metavar="IMAGES", help="the IDX file of images")
    parser.add_argument("labels", metavar="LABELS", help="the IDX file of labels")
    parser.add_argument("out", metavar="OUT_LMDB", help="the new database, a folder")
    parser.add_argument("--backend", "-backend", default="lmdb", choices=("lmdb",),
                        help="kept for Caffe's command lines: always lmdb")
    args = parser.parse_args(argv)
    print(f"{args.out}: {convert_mnist(args.images, args.labels, args.out)} records")


if __name__ == "__main__":
    sys.exit(cli.run(main))
