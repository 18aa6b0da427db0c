"""What the command line tools share: errors in one line, exit codes, help with an example."""

import argparse
import os
import sys
import warnings

from .errors import Error
from .files import reason


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Error(f"{message} (see {self.prog} --help)")


def parser(description, example):
    """An ArgumentParser whose --help ends with an example, line breaks kept; it raises Error."""
    return _Parser(description=description, epilog=f"example:\n  {example}",
                   formatter_class=argparse.RawDescriptionHelpFormatter)


def add_state(parser):
    """The options --stage, --level of tools that build a net; for Net(..., **net_state(args))."""
    parser.add_argument("--stage", metavar="NAME", action="append", default=[],
                        help="build the net for this stage, which include and exclude rules of its "
                             "layers may ask for; may be repeated")
    parser.add_argument("--level", metavar="N", type=int, default=0,
                        help="and for this level (default: %(default)s)")


def net_state(args):
    """The arguments of Net for what add_state's options say."""
    return {"level": args.level, "stages": args.stage}


def add_out(parser, name="out", **more):
    """The argument OUT of tools that write OUT.prototxt and OUT.caffemodel; args.out."""
    parser.add_argument(name, metavar="OUT", type=_without_ending,
                        help="what the names of the written files begin with", **more)


def _without_ending(path):
    stem, ending = os.path.splitext(path)
    return stem if ending in (".caffemodel", ".prototxt") else path


def add_gpu(parser):
    """The option --gpu of tools that run a net; for backend.choose(args.gpu)."""
    parser.add_argument("--gpu", metavar="ID|cpu", default="cpu",
                        help="run on the GPU of this number (default: cpu)")


def seed(text):
    """The type of a --seed option: a whole number that NumPy's generators take."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 up, not {text}")
    return int(text)


def run(main, argv=None):
    """The exit code of `main(argv)`: its own (None is 0), 1 after an Error, 130 after Ctrl-C.

    An Error is printed as one line, `error: ...`, and so are a lack of memory and an output that
    can't be written. Whoever reads our output may stop early. NumPy's warnings of overflow and the
    like are left out: a loss that is not finite is an Error.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* encountered in ", RuntimeWarning)
            code = main(argv) or 0
        sys.stdout.flush()
        return code
    except Error as error:
        print("error:", " ".join(str(error).split("\n")), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except MemoryError as error:
        print("error: not enough memory:", str(error) or "an array is too large", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename or 'the output'}: {reason(error)}", file=sys.stderr)
        _drop_stdout()
        return 1


def _drop_stdout():
    """Send what stdout still holds nowhere, or the flush at exit fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
