#!/bin/sh
# Run all tests, on two cores, in an environment of their own (.venv):
# sh tools/test.sh [pytest's arguments]
set -eu
cd "$(dirname "$0")/.."
extras="[dev]"
. tools/environment.sh
python -m pytest -n 2 --dist worksteal "$@"
