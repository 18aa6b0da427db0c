"""Net: layers connected by named blobs, run forward and backward."""

import collections
import contextlib
import os
import weakref

import numpy as np

from .. import backend
from ..backend import to_numpy
from ..blob import Blob
from ..errors import Error, NetError
from ..layers import layer_class
from ..layers.python_layer import python_layer_class
from ..primitives.parallel import one_blas_thread
from ..primitives.update import ParameterTable
from ..proto import caffe_pb2, upgrade, weights
from . import batches, copying, debug_log
from .backward_plan import BackwardPlan
from .device_loss import DeviceLoss
from .phases import add_to_state, layers_in_state
from .seed import default_seed, layer_rng
from .shared_params import LearnableParams
from .splits import insert_splits


class Net:
    """A directed acyclic graph of layers, with pycaffe's names.

    Net("net.prototxt", minicaffe.TEST, weights="net.caffemodel")

    source     path of a .prototxt, or a NetParameter; or the pair that proto.upgrade.read_net
               makes of either
    phase      minicaffe.TRAIN or minicaffe.TEST (for a NetParameter: its own state, if not given)
    level, stages    the rest of the state that include and exclude rules look at; stages are added
               to those of the file's own state
    weights    path of a .caffemodel to copy from
    dtype      numpy.float32 or numpy.float64 for all blobs
    seed       of the fillers, Dropout and the order of data (default: set_random_seed's, or fresh)

    blobs      name -> Blob, in order of making       params    layer name -> list of its Blobs
    layers     the Layer objects, by _layer_names     inputs, outputs    names of blobs
    A net runs where it was made, with NumPy or on the GPU (minicaffe.set_mode_gpu); what forward
    and backward take and return are NumPy arrays in both.
    Raises ParseError, LayerError, NetError, WeightsError.
    """

    def __init__(self, source, phase=None, level=0, stages=None, weights=None, dtype=np.float32,
                 seed=None):
        if isinstance(phase, (str, os.PathLike)) and phase not in caffe_pb2.Phase.keys():
            phase, weights = level, phase             # Net(file, weights, phase), pycaffe's old form
            level = 0
        param, places = self._read(source)
        if phase is not None:
            add_to_state(param.state, phase, level, stages)
        self.name, self.phase = param.name, param.state.phase
        self.dtype = np.dtype(dtype)
        self.seed = default_seed() if seed is None else seed
        self.debug_info = param.debug_info
        self.xp = backend.xp()
        self._loss = 0.0 if self.xp is np else DeviceLoss(self.xp)
        self._table = None                            # of the parameters' diffs, on the GPU
        self.layers, self._layer_names = [], []
        self.blobs, self.params = collections.OrderedDict(), collections.OrderedDict()
        self._bottom_names, self._top_names = [], []
        self._ends = []                               # (bottoms, tops) of each layer, the blobs
        self._shapes = []                             # of bottoms and tops after each reshape
        self._plan = BackwardPlan(param.force_backward)
        self._learnable = LearnableParams()
        self._makers = {}                             # blob name -> name of the layer that made it
        self._sharing = weakref.WeakSet([self])       # the nets with this one's weights
        with one_blas_thread():
            for layer_param, place in insert_splits(layers_in_state(param, places)):
                self._add_layer(layer_param, place)
        self._plan.prune(self.layers, self._bottom_names, self._top_names)
        self._find_ends()
        if weights is not None:
            self.copy_from(weights)

    # ---- building

    @staticmethod
    def _read(source):
        """A NetParameter of our own and the places of its layers, from any form of source."""
        if not isinstance(source, tuple):
            source = upgrade.read_net(source)
        param, places = caffe_pb2.NetParameter(), source[1]
        param.CopyFrom(source[0])
        return param, places

    def _add_layer(self, layer_param, place):
        def error(message):
            return NetError(f"{place}: layer '{layer_param.name}': {message}")

        if not layer_param.HasField("phase"):
            layer_param.phase = self.phase
        cls = layer_class(layer_param.type, error)
        if layer_param.type == "Python":
            cls = python_layer_class(layer_param, error)
        rng = layer_rng(self.seed, layer_param.name, layer_param.phase)
        layer = cls(layer_param, layer_param.phase, self.dtype, rng, place)
        bottom_names, top_names = list(layer_param.bottom), self._make_tops(layer, error)
        bottom, top = self._blobs(bottom_names), self._blobs(top_names)
        try:
            layer.set_up(bottom, top)
        except Error as problem:
            raise (problem if place in str(problem) else layer.error(problem)) from problem
        except backend.device_errors() as problem:
            raise layer.error(backend.explain(problem)) from problem
        self.layers.append(layer)
        self._layer_names.append(layer.name)
        self._bottom_names.append(bottom_names)
        self._top_names.append(top_names)
        self._ends.append((bottom, top))
        self._shapes.append(_shapes(bottom, top))
        if layer_param.blobs:
            copying.copy_own_weights(self, layer)
        if layer.blobs:
            self.params[layer.name] = layer.blobs
        self._plan.add(layer, bottom_names, top_names, self._learnable.add_layer(layer))

    def _make_tops(self, layer, error):
        """The names of a layer's tops, their blobs made; a top named like its bottom is in place."""
        names = list(layer.layer_param.top)
        bottom = layer.layer_param.bottom
        for i, name in enumerate(names):
            in_place = i < len(bottom) and bottom[i] == name
            if name in self.blobs and not in_place:
                raise error(f"top '{name}' is already made by layer '{self._makers[name]}'")
            if not in_place:
                self.blobs[name] = Blob((), self.dtype)
            self._makers[name] = layer.name
        least = layer.num_top[0] if isinstance(layer.num_top, tuple) else layer.num_top
        while layer.auto_top_blobs and len(names) < least:
            names.append(f"(automatic) {layer.name} {len(names)}")
            self.blobs[names[-1]] = Blob((), self.dtype)
        return names

    def _find_ends(self):
        """inputs: tops of Input layers; outputs: blobs nobody reads, sorted by name as in Caffe."""
        self.inputs = [name for layer, names in zip(self.layers, self._top_names)
                       if layer.type == "Input" for name in names]
        unread = set()
        for layer, bottoms, tops in zip(self.layers, self._bottom_names, self._top_names):
            unread -= set(bottoms)
            unread |= set(layer.layer_param.top)         # tops that were made up don't count
        self.outputs = sorted(unread)

    def _blobs(self, names):
        return [self.blobs[name] for name in names]

    # ---- running

    def forward(self, blobs=None, start=None, end=None, **inputs):
        """Run layers `start` .. `end` (names; all by default) and return {output name: data}.

        Keyword arguments are copied into the input blobs of their names first. `blobs` names
        further blobs to return. With `end`, that layer's tops are returned instead of the outputs.
        The sum of losses is left in `total_loss`.
        """
        for name, values in inputs.items():
            self._set_input(name, values)
        first, last = self._span(start, end)
        self._forward(first, last)
        if self.xp is not np:
            self.check_device()
        names = self._top_names[last] if end is not None else self.outputs
        return {name: to_numpy(self._blob(name).data) for name in [*names, *(blobs or [])]}

    def backward(self, diffs=None, start=None, end=None, **output_diffs):
        """Run backward from layer `start` down to `end` and return {input name: diff}.

        Keyword arguments are copied into the diffs of the output blobs of their names first.
        `diffs` names further blobs whose diffs to return. With `end`, the diffs of that layer's
        bottoms are returned. Parameter diffs are added to: see clear_param_diffs.
        """
        for name, values in output_diffs.items():
            blob = self._blob(name)
            if _shape(values) != blob.shape:
                raise NetError(f"diff of '{name}' has shape {_shape(values)}, not {blob.shape}")
            blob.diff = values
        last, first = self._span(end, start)
        self._backward(first, last)
        names = self._bottom_names[last] if end is not None else self.inputs
        return {name: to_numpy(self._blob(name).diff) for name in [*names, *(diffs or [])]}

    def forward_all(self, blobs=None, **inputs):
        """Run forward on inputs of any length, in batches; {output name: all rows} (pycaffe's)."""
        return batches.forward_all(self, blobs, inputs)

    def forward_backward_all(self, blobs=None, diffs=None, **arrays):
        """Both passes in batches; (all outputs, all diffs of inputs) (pycaffe's)."""
        return batches.forward_backward_all(self, blobs, diffs, arrays)

    def set_input_arrays(self, data, labels):
        """Make the arrays what the net's first layer, a MemoryData, reads from now on (pycaffe's)."""
        if not self.layers or self.layers[0].type != "MemoryData":
            raise NetError("set_input_arrays needs a net whose first layer is a MemoryData; this "
                           f"one's is '{self._layer_names[0]}' ({self.layers[0].type})")
        self.layers[0].set_input_arrays(data, labels)

    def _span(self, start, end):
        first = 0 if start is None else self._index(start)
        last = len(self.layers) - 1 if end is None else self._index(end)
        if first > last:
            raise NetError(f"layer '{self._layer_names[first]}' comes after "
                           f"'{self._layer_names[last]}': there is nothing to run")
        return first, last

    def _index(self, name):
        if name not in self._layer_names:
            raise NetError(f"the net has no layer '{name}'; its layers are "
                           + ", ".join(self._layer_names))
        return self._layer_names.index(name)

    def _blob(self, name):
        if name not in self.blobs:
            raise NetError(f"the net has no blob '{name}'; its blobs are " + ", ".join(self.blobs))
        return self.blobs[name]

    def _set_input(self, name, values):
        if name not in self.inputs:
            raise NetError(f"'{name}' is not an input of the net; inputs are "
                           + (", ".join(self.inputs) or "none"))
        blob = self.blobs[name]
        if _shape(values) != blob.shape:
            raise NetError(f"input '{name}' has shape {_shape(values)}, the net expects "
                           f"{blob.shape}: reshape the blob first")
        blob.data = values

    def _forward(self, first, last):
        """Layers first .. last by index; returns the sum of their losses (pycaffe's _forward).

        On the GPU that is an array of one number, which the next pass overwrites: to look at it is
        to wait for the device.
        """
        indices = range(first, last + 1)
        if self.xp is np:
            self._loss = self._forward_layers(indices)
            return self._loss
        self._loss.begin()
        self._forward_layers(indices)
        return self._loss.end()

    def _forward_layers(self, indices):
        on_cpu, loss, i = self.xp is np, 0.0, 0
        try:
            with self._one_blas_thread():
                for i in indices:
                    layer, (bottom, top) = self.layers[i], self._ends[i]
                    self._reshape_layer(i, layer, bottom, top)
                    layer.forward(bottom, top)
                    if on_cpu:
                        loss += layer.weighted_loss(top)
                    else:
                        self._loss.add(layer, top)
                    if self.debug_info:
                        debug_log.log_forward(self, i)
        except backend.device_errors() as problem:
            raise self.layers[i].error(backend.explain(problem)) from problem
        return loss

    @property
    def total_loss(self):
        """The sum of losses of the last forward pass; on the GPU this waits for it.

        What layers there found in their data and couldn't stop for (a label out of range) is
        raised here.
        """
        if self.xp is np:
            return self._loss
        loss = float(to_numpy(self._loss.value))
        self.check_device()
        return loss

    def check_device(self):
        """Raise what layers have found in their data on the GPU since the last time."""
        for layer in self.layers:
            layer.check_device()

    def _backward(self, first, last):
        """Layers first down to last, by index (pycaffe's _backward)."""
        i = first
        try:
            with self._one_blas_thread():
                for i in range(first, last - 1, -1):
                    if not self._plan.need_backward[i]:
                        continue
                    bottom, top = self._ends[i]
                    self.layers[i].backward(top, self._plan.bottom_need_backward[i], bottom)
                    if self.debug_info:
                        debug_log.log_backward(self, i)
        except backend.device_errors() as problem:
            raise self.layers[i].error(backend.explain(problem)) from problem
        if self.debug_info and (first, last) == (len(self.layers) - 1, 0):
            debug_log.log_norms(self)

    def _one_blas_thread(self):
        """The CPU's threads are ours; the GPU has no use for them, nor for the time to ask BLAS."""
        return one_blas_thread() if self.xp is np else contextlib.nullcontext()

    def _reshape_layer(self, i, layer, bottom, top):
        if layer.reshape_always or self._shapes[i] != _shapes(bottom, top):
            layer.reshape(bottom, top)
            self._shapes[i] = _shapes(bottom, top)

    def reshape(self):
        """Give all blobs and buffers the shapes that follow from the input blobs' shapes."""
        for i, (layer, (bottom, top)) in enumerate(zip(self.layers, self._ends)):
            if bottom:
                try:
                    layer.reshape(bottom, top)
                except backend.device_errors() as problem:
                    raise layer.error(backend.explain(problem)) from problem
                self._shapes[i] = _shapes(bottom, top)

    def first_not_finite(self):
        """(layer name, blob name) of the first layer with a NaN or infinity in a top, or None."""
        for name, tops in zip(self._layer_names, self._top_names):
            for top in tops:
                if not self.xp.isfinite(self.blobs[top].data).all():
                    return name, top
        return None

    # ---- parameters

    def clear_param_diffs(self):
        """Set the diffs of all learnable parameters to zero."""
        blobs = self._learnable.blobs
        if self.xp is np:
            for blob in blobs:
                blob.diff.fill(0)
            return
        rows = [(blob.diff,) for blob in blobs]
        if self._table is None or not self._table.is_of(rows):
            self._table = ParameterTable(self.xp, self.dtype, rows)
        self._table.clear()

    def copy_from(self, source):
        """Copy weights from a .caffemodel (path) or NetParameter into layers of the same name.

        Diffs too, where the file has any (snapshot_diff). A file in HDF5 (.caffemodel.h5) is told
        by its first bytes; its diffs stay there, as in Caffe. Returns these layers' names.
        """
        return copying.copy_weights(self, source)

    load_hdf5 = copy_from                             # pycaffe's

    def share_with(self, other):
        """Use the other net's weights (the same memory) in layers of the same name."""
        copying.share_weights(self, other)
        self._sharing.discard(self)
        self._sharing = other._sharing
        self._sharing.add(self)

    def save(self, path):
        """Write the weights as a binary .caffemodel that Caffe reads too."""
        weights.write_binary(copying.net_to_proto(self), path)

    def save_hdf5(self, path, write_diff=False):
        """Write the weights as .caffemodel.h5, on request with their gradients (pycaffe's)."""
        copying.write_hdf5(self, path, write_diff)

    @property
    def learnable_params(self):
        """The distinct parameter blobs, a shared one once."""
        return self._learnable.blobs

    @property
    def params_lr(self):
        """lr_mult of each of learnable_params."""
        return self._learnable.lr_mults

    @property
    def params_weight_decay(self):
        """decay_mult of each of learnable_params."""
        return self._learnable.decay_mults

    # ---- names

    @property
    def _blob_names(self):
        """The names of all blobs, in order of making (pycaffe's)."""
        return list(self.blobs)

    @property
    def layer_dict(self):
        """Layer name -> Layer."""
        return collections.OrderedDict(zip(self._layer_names, self.layers))

    @property
    def bottom_names(self):
        """Layer name -> names of its bottoms."""
        return collections.OrderedDict(zip(self._layer_names, self._bottom_names))

    @property
    def top_names(self):
        """Layer name -> names of its tops."""
        return collections.OrderedDict(zip(self._layer_names, self._top_names))

    @property
    def blob_loss_weights(self):
        """Blob name -> its loss weight, 0 where it is no loss."""
        result = collections.OrderedDict((name, 0.0) for name in self.blobs)
        for layer, names in zip(self.layers, self._top_names):
            result.update((n, w) for n, w in zip(names, layer.loss_weights) if w)
        return result

    def close(self):
        """Stop the layers' threads and close their files."""
        for layer in self.layers:
            layer.close()


def _shape(values):
    """The shape of an array of either kind, a list or a number."""
    return tuple(values.shape) if hasattr(values, "shape") else np.shape(values)


def _shapes(bottom, top):
    return [blob.shape for blob in (*bottom, *top)]
