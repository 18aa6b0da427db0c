"""Rewrite a solver with the old solver_type in today's form, like Caffe's upgrade_solver_proto_text."""

import sys

from minicaffe import cli
from minicaffe.proto.upgrade import upgrade_solver_file


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/upgrade_solver.py old.prototxt new.prototxt")
    parser.add_argument("solver", metavar="IN.prototxt")
    parser.add_argument("out", metavar="OUT.prototxt")
    args = parser.parse_args(argv)
    old = upgrade_solver_file(args.solver, args.out)
    print(f"{args.solver}: {'solver_type in place of type' if old else 'in the current form already'}"
          f"; written to {args.out}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
