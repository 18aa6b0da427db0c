#!/bin/sh
# Run all tests in an environment of their own (.venv): sh tools/test.sh [pytest's arguments]
set -eu
cd "$(dirname "$0")/.."
extras="[dev]"
. tools/environment.sh
python -m pytest "$@"
