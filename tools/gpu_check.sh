#!/bin/sh
# All there is to do on a machine with a GPU, in under 8 minutes, with nothing to install:
#   sh tools/gpu_check.sh [DIR]
# runs the GPU's tests, tools/bench.py --gpu and the figures that take times on a GPU, and leaves
# check.json (tests and benchmark), products.png and the figures' JSON and PNG in DIR (gpu_check).
# Exit status 0: every part ran to its end and all tests passed. PYTHON: the interpreter (python3).
set -u
cd "$(dirname "$0")/.."
dir=${1:-gpu_check}
python=${PYTHON:-python3}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 MPLBACKEND=Agg
"$python" -c 'import sys
from minicaffe import backend, cli
sys.exit(cli.run(lambda argv: backend.choose("0") or print(backend.device_name())))' || exit 1
mkdir -p "$dir" || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

part() {  # part NAME SECONDS COMMAND...: run it within its time, remember whether it went well
    name=$1 seconds=$2
    shift 2
    echo "== $name"
    timeout -s INT -k 10 "$seconds" "$@"      # as by Ctrl-C: pytest still writes what it has
    code=$?
    echo "$name $code" >> "$work/parts"
    [ $code -eq 0 ] || { echo "error: $name ended with status $code" >&2; status=1; }
}

several=                                       # processes, where pytest can have them
"$python" -c 'import xdist' 2> /dev/null && several="-n 6 --dist loadfile"
# shellcheck disable=SC2086
part tests 210 "$python" -m pytest -p no:cacheprovider $several -k cupy \
    --junitxml "$work/tests.xml" tests
part benchmark 150 "$python" tools/bench.py --gpu 0 --steps 200 --json "$work/bench.json" \
    --plot "$dir/products.png"
part figures 100 "$python" figures/make.py bdip.fig1 bdip.fig2 bdip.fig3 --gpu 0 --scale full \
    --out "$dir"

"$python" - "$work" "$dir/check.json" <<'PYTHON' || status=1
"""Tests, benchmark and how each part ended, in one file."""
import json, pathlib, sys
from xml.etree import ElementTree

work, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
result = {"parts": {name: int(code) for name, code in
                    (line.split() for line in (work / "parts").read_text().splitlines())}}
if (work / "tests.xml").exists():
    cases = ElementTree.parse(work / "tests.xml").findall(".//testcase")
    kinds = {kind: [case for case in cases if case.find(kind) is not None]
             for kind in ("failure", "error", "skipped")}
    result["tests"] = {"run": len(cases), **{kind: len(found) for kind, found in kinds.items()}}
    result["failures"] = [
        {"test": f"{case.get('classname')}.{case.get('name')}",
         "message": (case.find(kind).get("message") or "")[:500]}
        for kind in ("failure", "error") for case in kinds[kind]][:200]
if (work / "bench.json").exists():
    result["benchmark"] = json.loads((work / "bench.json").read_text())
target.write_text(json.dumps(result, indent=1) + "\n")
print(json.dumps({"parts": result["parts"], "tests": result.get("tests")}))
PYTHON
ls -l "$dir"
exit $status
