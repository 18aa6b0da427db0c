"""A training run as figures ask for it, and the key under which its results are kept."""

import dataclasses
import functools
import hashlib
import json
import os
from pathlib import Path

import numpy as np

from minicaffe import backend
from minicaffe.analysis.gradient_history import train_only
from minicaffe.datasets import open_dataset
from minicaffe.net.head import data_layers
from minicaffe.proto import caffe_pb2, text

# part of every key; goes up when a change of the package alters what a training run computes by
# more than rounding, or than which of equal values is taken
ARITHMETIC = 1
# fields that came later: part of a key where they differ from their default, as if that were new
LATER = ("isometry", "begin", "keep_weights", "history", "keep_best")


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run and what is measured in it.

    name            for people; not part of the key
    net, solver     texts of prototxt; the solver's without net, tests and snapshots
    seed            random_seed
    layers          whose blob 0 is watched: variance, singular values, Eq. 4's terms, final weights
    record          iterations between two such measurements
    test            iterations between two tests
    test_batches    of the TEST net, a test
    train_batches   the same net on the training data, a test; 0: not measured
    final_train_batches   the same, at the end
    isometry        every `record` iterations, mean and variance of the singular values of all
                    fully connected layers are measured (IsometryHistory)
    begin           the Run from whose final weights this one begins, or None
    keep_weights    the final weights of all layers are kept, for runs that begin from them
    history         layers whose weights are kept of every `record`, the start and the end
    keep_best       the weights of all layers are kept of the lowest test loss after the start
    may_diverge     a loss that isn't finite is a result, not an error; not part of the key
    """

    name: str
    net: str
    solver: str
    seed: int
    layers: tuple = ("ip1", "ip2")
    record: int = 100
    test: int = 500
    test_batches: int = 100
    train_batches: int = 0
    final_train_batches: int = 0
    isometry: bool = False
    begin: "Run" = None
    keep_weights: bool = False
    history: tuple = ()
    keep_best: bool = False
    may_diverge: bool = False

    def net_param(self):
        """The net as a NetParameter, without its name, which changes nothing."""
        net = text.parse(self.net, caffe_pb2.NetParameter, f"net of '{self.name}'")
        net.ClearField("name")
        return net

    def solver_param(self):
        """The solver as a SolverParameter."""
        return text.parse(self.solver, caffe_pb2.SolverParameter, f"solver of '{self.name}'")

    @functools.cached_property
    def key(self):
        """20 hexadecimal digits that stand for everything the run's result depends on."""
        known = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)
                 if field.name not in LATER or getattr(self, field.name) != field.default}
        if self.begin:
            known["begin"] = self.begin.key
        del known["may_diverge"]
        known.update(name=None, net=text.to_text(self.net_param()), arithmetic=ARITHMETIC,
                     solver=text.to_text(self.solver_param()), data=self.data())
        if backend.mode() != "cpu":
            known["mode"] = backend.mode()
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:20]

    def data(self):
        """What identifies the data of the net, for the key: a digest of each data set."""
        params = [(layer.data_param, split) for layer, split in data_layers(self.net_param())]
        return [digest(p.DB.Name(p.backend), p.source, split) for p, split in params]

    def trained_net(self):
        """The net to train, with all that it reads in place."""
        return self.net_param()

    def first_weights(self):
        """What training begins from, a file or a NetParameter; None: what the fillers draw."""
        return str(self.begin.final_weights) if self.begin else None

    @property
    def iterations(self):
        return self.solver_param().max_iter

    @property
    def folder(self):
        """Where the run's results, snapshots and log are kept."""
        return cache_folder() / self.key

    @property
    def final_weights(self):
        """The file of keep_weights."""
        return self.folder / "final.caffemodel"

    @property
    def best_weights(self):
        """The file of keep_best."""
        return self.folder / "best.caffemodel"


def cache_folder():
    """$MINICAFFE_CACHE, or ~/.cache/minicaffe."""
    return Path(os.environ.get("MINICAFFE_CACHE") or Path.home() / ".cache" / "minicaffe")


def training_text(param, **fields):
    """A SolverParameter's text for Run: without nets, tests, snapshots, seed, `fields` replaced."""
    bare = caffe_pb2.SolverParameter()
    bare.CopyFrom(param)
    train_only(bare)
    for name in ("net", "random_seed", "solver_mode", *fields):
        bare.ClearField(name)
    bare.MergeFrom(caffe_pb2.SolverParameter(**fields))
    return text.to_text(bare)


def set_batch(net, size, *splits):
    """Give a NetParameter's Data layers, or only those of "train" or "test", that batch size."""
    for layer, split in data_layers(net):
        if split in (splits or ("train", "test")):
            layer.data_param.batch_size = size


@functools.lru_cache(maxsize=None)
def digest(backend, source, split):
    """The SHA-256 of all images and labels of a data set, in order."""
    data_set, sha = open_dataset(backend, source, split), hashlib.sha256()
    for start in range(0, len(data_set), 1000):
        images, labels = data_set.read(np.arange(start, min(start + 1000, len(data_set))))
        sha.update(np.ascontiguousarray(images))
        sha.update(np.ascontiguousarray(labels))
    data_set.close()
    return sha.hexdigest()
