# Sourced by quickstart.sh and test.sh from the checkout's folder: makes .venv if it is missing,
# activates it and installs minicaffe there, with the extras in $extras. PYTHON chooses the Python.
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "error: $python is older than Python 3.10: set PYTHON to a newer one" >&2
    exit 1
}
[ -x .venv/bin/python ] || "$python" -m venv .venv
. .venv/bin/activate
python -m pip install --quiet --disable-pip-version-check --editable ".${extras:-}"
