"""Download a public data set, check it, and put it where prototxt files find it."""

import sys

from minicaffe import cli
from minicaffe.datasets.base import data_folder
from minicaffe.datasets.catalog import SETS, obtain


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/get_data.py mnist")
    parser.add_argument("name", choices=SETS, metavar="|".join(SETS), help="which data set")
    parser.add_argument("--to", metavar="DIR", default=data_folder(),
                        help="put it into a folder of its own within DIR (default: $MINICAFFE_DATA, "
                             "or data/ in the checkout; here: %(default)s)")
    parser.add_argument("--from", metavar="DIR", dest="source",
                        help="take the files from this folder instead of the network")
    args = parser.parse_args(argv)
    obtain(args.name, args.to, args.source)


if __name__ == "__main__":
    sys.exit(cli.run(main))
