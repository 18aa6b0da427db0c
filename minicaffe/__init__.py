"""minicaffe: Caffe's nets and solvers on NumPy, with every gradient written out.

`import minicaffe as caffe` gives pycaffe's names: Net, get_solver, SGDSolver, set_mode_cpu, io,
layers (L), params (P), NetSpec, Classifier ... Modules of their own: minicaffe.coord_map, .draw.
"""

import logging

from . import io, layers, proto
from .backend import set_device, set_mode_cpu, set_mode_gpu, to_numpy
from .blob import Blob
from .classifier import Classifier
from .errors import Error
from .layers import Layer, layer_type_list
from .net import Net, set_random_seed
from .net_spec import NetSpec, params, to_proto
from .proto.caffe_pb2 import TEST, TRAIN
from .solver import (AdaDeltaSolver, AdaGradSolver, AdamSolver, NesterovSolver, RMSPropSolver,
                     SGDSolver, get_solver)

__version__ = "0.1.0"

__all__ = ["AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "Classifier", "Error",
           "Layer", "NesterovSolver", "Net", "NetSpec", "RMSPropSolver", "SGDSolver", "TEST", "TRAIN",
           "get_solver", "io", "layer_type_list", "layers", "log", "params", "proto",
           "set_device", "set_mode_cpu", "set_mode_gpu", "set_random_seed", "to_numpy", "to_proto"]


def log(message):
    """Write a line to the package's log, Python's logger "minicaffe" (pycaffe's function)."""
    logging.getLogger(__name__).info("%s", message, stacklevel=2)
