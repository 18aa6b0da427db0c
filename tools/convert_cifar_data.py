"""Convert the .bin files of CIFAR-10 or CIFAR-100 to LMDBs, as Caffe's convert_cifar_data does."""

import sys

from minicaffe import cli
from minicaffe.datasets.convert import convert_cifar


def main(argv=None):
    parser = cli.parser(__doc__,
                        "python tools/convert_cifar_data.py data/cifar-10-batches-bin data")
    parser.add_argument("folder", metavar="FOLDER", help="where the .bin files are")
    parser.add_argument("out", metavar="OUT_FOLDER",
                        help="where cifar10_train_lmdb and cifar10_test_lmdb are made")
    parser.add_argument("db_type", metavar="lmdb", nargs="?", default="lmdb", choices=("lmdb",),
                        help="kept for Caffe's command lines: always lmdb")
    args = parser.parse_args(argv)
    for path, count in convert_cifar(args.folder, args.out).items():
        print(f"{path}: {count} records")


if __name__ == "__main__":
    sys.exit(cli.run(main))
