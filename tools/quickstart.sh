#!/bin/sh
# From a fresh clone to a trained LeNet: environment, install, MNIST, 10,000 iterations (minutes).
set -eu
cd "$(dirname "$0")/.."
. tools/environment.sh
python tools/get_data.py mnist
python tools/train.py prototxt/lenet/train_test.prototxt prototxt/lenet/solver.prototxt \
    --log runs/lenet.jsonl "$@"
