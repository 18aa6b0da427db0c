"""The command `minicaffe VERB ...`: the verbs are the scripts of tools/."""

import importlib.metadata
import importlib.util
import sys

from . import __version__, cli
from .datasets.base import checkout
from .errors import Error

_HELP = ("-h", "--help", "help")


def tools():
    """{verb: path of its script}: of the checkout's tools/, or of what the installation holds."""
    if checkout():
        paths = (checkout() / "tools").glob("*.py")
    else:
        files = importlib.metadata.files("minicaffe") or ()
        paths = [file.locate() for file in files if file.match("share/minicaffe/tools/*.py")]
    found = {path.stem: path for path in sorted(paths) if path.stem != "__init__"}
    if not found:
        raise Error("the tools are not installed: run `pip install .` in the checkout, or use "
                    "python tools/VERB.py")
    return found


def main():
    """Run one tool; exits with its code."""
    sys.exit(cli.run(_dispatch))


def _dispatch(argv):
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--version"]:
        print(__version__)
        return 0
    if argv[:1] == ["help"] and len(argv) > 1:
        argv = [argv[1], "--help"]
    paths = tools()
    if not argv or argv[0] in _HELP:
        print("usage: minicaffe VERB ...   (minicaffe VERB --help says more)\n\nverbs:")
        for verb, path in paths.items():
            print(f"  {verb:20} {_load(verb, path).__doc__.strip().splitlines()[0]}")
        return 0
    verb = argv[0].replace("-", "_")
    if verb not in paths:
        raise Error(f"unknown verb '{argv[0]}': it must be one of {', '.join(paths)}")
    sys.argv[0] = f"minicaffe {verb}"
    return _load(verb, paths[verb]).main(argv[1:])


def _load(verb, path):
    spec = importlib.util.spec_from_file_location(f"minicaffe_tool_{verb}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
