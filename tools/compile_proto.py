"""Rewrite minicaffe/proto/caffe_pb2.py from caffe.proto; example: python tools/compile_proto.py

The compiler is a fixed old one, because what it writes loads on every protobuf runtime from 4.21
on, while newer compilers demand a runtime of their own age. Where it isn't installed, a throwaway
virtual environment gets it from the package index (about 20 s; Python 3.11 or older, as there is
no such compiler for newer ones).
"""

import argparse
import hashlib
import importlib.metadata
import pathlib
import subprocess
import sys
import tempfile
import venv

GRPC_TOOLS = "1.51.1"           # protoc 21, for the runtimes 4.21 and up
ROOT = pathlib.Path(__file__).resolve().parents[1]      # the checkout, or the installed package
PROTO = (ROOT / "minicaffe" if (ROOT / "minicaffe").is_dir() else ROOT) / "proto" / "caffe.proto"
HEADER = """\
# Written by tools/compile_proto.py (grpcio-tools {version}); change caffe.proto instead.
# caffe.proto sha256: {digest}
"""


def compiler_is_here():
    """Whether this very interpreter has the pinned compiler."""
    try:
        return importlib.metadata.version("grpcio-tools") == GRPC_TOOLS
    except importlib.metadata.PackageNotFoundError:
        return False


def install_compiler(folder):
    """Make a virtual environment in `folder` with the pinned compiler; returns its interpreter."""
    venv.create(folder, with_pip=True)
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    python = str(pathlib.Path(folder, scripts, "python"))
    # grpc_tools still imports pkg_resources, which setuptools 81 dropped
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    f"grpcio-tools=={GRPC_TOOLS}", "setuptools<80"], check=True, capture_output=True)
    return python


def compile_proto(proto=PROTO):
    """The text of caffe_pb2.py that belongs to the file `proto`."""
    with tempfile.TemporaryDirectory() as folder:
        python = sys.executable if compiler_is_here() else install_compiler(f"{folder}/venv")
        subprocess.run([python, "-W", "ignore", "-m", "grpc_tools.protoc", f"-I{proto.parent}",
                        f"--python_out={folder}", proto.name], check=True)
        generated = pathlib.Path(folder, "caffe_pb2.py").read_text(encoding="utf-8")
    digest = hashlib.sha256(proto.read_bytes()).hexdigest()
    return HEADER.format(version=GRPC_TOOLS, digest=digest) + generated


def main(argv=None):
    # without minicaffe.cli: the package can't be imported while caffe_pb2.py is missing
    parser = argparse.ArgumentParser(description=__doc__.strip(),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true",
                        help="write nothing; exit 1 if caffe_pb2.py is not what caffe.proto gives")
    parser.error = lambda message: sys.exit(f"error: {message} (see {parser.prog} --help)")
    arguments = parser.parse_args(argv)
    target = PROTO.with_name("caffe_pb2.py")
    try:
        text = compile_proto()
    except subprocess.CalledProcessError as error:
        hint = ": it needs Python 3.11 or older" if sys.version_info >= (3, 12) else ""
        raise SystemExit(f"error: {PROTO}: {' '.join(map(str, error.cmd[1:4]))} ... failed with "
                         f"grpcio-tools {GRPC_TOOLS}{hint}") from None
    if not arguments.check:
        target.write_text(text, encoding="utf-8")
    elif not target.exists() or target.read_text(encoding="utf-8") != text:
        raise SystemExit(f"error: {target} is out of date; run tools/compile_proto.py")


if __name__ == "__main__":
    main()
