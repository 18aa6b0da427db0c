"""The command `minicaffe VERB ...`: the verbs are the scripts of tools/."""

import importlib
import pkgutil
import sys

from . import cli
from .errors import Error


def verbs():
    """The names of the tools, sorted."""
    try:
        tools = importlib.import_module("minicaffe.tools")
    except ModuleNotFoundError:
        raise Error("the tools are not installed: run `pip install .` in the checkout, or use "
                    "python tools/VERB.py") from None
    return sorted(module.name for module in pkgutil.iter_modules(tools.__path__))


def main():
    """Run one tool; exits with its code."""
    sys.exit(cli.run(_dispatch))


def _dispatch(argv):
    argv = sys.argv[1:] if argv is None else argv
    verb = argv[0].lstrip("-").replace("-", "_") if argv else "help"
    known = verbs()
    if verb in ("h", "help"):
        print("usage: minicaffe VERB ...   (minicaffe VERB --help says more)\n\nverbs:")
        for name in known:
            module = importlib.import_module(f"minicaffe.tools.{name}")
            print(f"  {name:20} {(module.__doc__ or '').strip().splitlines()[0]}")
        return 0
    if verb not in known:
        raise Error(f"unknown verb '{argv[0]}': it must be one of {', '.join(known)}")
    sys.argv[0] = f"minicaffe {verb}"
    return importlib.import_module(f"minicaffe.tools.{verb}").main(argv[1:])


if __name__ == "__main__":
    main()
