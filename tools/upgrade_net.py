"""Rewrite a net of an old format (V0, V1, `input` fields) in today's, like Caffe's upgrade_net_proto."""

import sys

from minicaffe import cli
from minicaffe.proto.upgrade import upgrade_net_file


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/upgrade_net.py old.prototxt new.prototxt")
    parser.add_argument("net", metavar="IN", help="a .prototxt, or a binary .caffemodel")
    parser.add_argument("out", metavar="OUT", help="written as IN is: text or binary")
    args = parser.parse_args(argv)
    age = upgrade_net_file(args.net, args.out)
    print(f"{args.net}: {age or 'in the current form already'}; written to {args.out}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
