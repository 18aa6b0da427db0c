"""Convert a list of picture files to an LMDB, as Caffe's convert_imageset does.

LISTFILE has a line a picture: its name, a space, its label. Pictures that can't be read are left
out, with a warning each.
"""

import sys

import numpy as np

from minicaffe import cli
from minicaffe.datasets.convert import convert_imageset, read_list
from minicaffe.errors import Error


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/convert_imageset.py --resize_height 256 "
                                 "--resize_width 256 --shuffle \\\n      photos/ photos/train.txt "
                                 "photos_train_lmdb")
    parser.add_argument("root", metavar="ROOTFOLDER/", help="goes in front of every name, as it is")
    parser.add_argument("list", metavar="LISTFILE")
    parser.add_argument("out", metavar="OUT_LMDB", help="the new database, a folder")
    parser.add_argument("--gray", action="store_true", help="one channel instead of three")
    parser.add_argument("--shuffle", action="store_true", help="in random order")
    parser.add_argument("--seed", type=cli.seed, default=0, metavar="N",
                        help="of that order (default: %(default)s)")
    parser.add_argument("--resize_height", type=int, default=0, metavar="H",
                        help="with --resize_width")
    parser.add_argument("--resize_width", type=int, default=0, metavar="W")
    parser.add_argument("--check_size", action="store_true", help="all pictures must have one size")
    parser.add_argument("--encoded", action="store_true", help="store picture files, not pixels")
    parser.add_argument("--encode_type", default="", metavar="png|jpg|...",
                        help="store files of this format (default: each picture's own)")
    parser.add_argument("--backend", "-backend", default="lmdb", choices=("lmdb",),
                        help="kept for Caffe's command lines: always lmdb")
    args = parser.parse_args(argv)
    size = args.resize_height, args.resize_width
    if min(size) < 0 or (min(size) == 0 and max(size) > 0):
        raise Error(f"--resize_height {size[0]} and --resize_width {size[1]} go together, both "
                    "positive")
    entries = read_list(args.list)
    if args.shuffle:
        np.random.default_rng(args.seed).shuffle(entries)
    count = convert_imageset(args.root, entries, args.out, gray=args.gray,
                             size=size if min(size) else None, encoded=args.encoded,
                             encode_type=args.encode_type, check_size=args.check_size)
    print(f"{args.out}: {count} records")


if __name__ == "__main__":
    sys.exit(cli.run(main))
