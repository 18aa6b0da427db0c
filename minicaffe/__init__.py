"""minicaffe: Caffe's nets and solvers on NumPy, with every gradient written out.

`import minicaffe as caffe` gives pycaffe's names: Net, get_solver, SGDSolver, set_mode_cpu, ...
"""

from .backend import set_device, set_mode_cpu, set_mode_gpu
from .blob import Blob
from .errors import Error
from .layers import Layer, layer_type_list
from .net import Net, set_random_seed
from .proto.caffe_pb2 import TEST, TRAIN
from .solver import (AdaDeltaSolver, AdaGradSolver, AdamSolver, NesterovSolver, RMSPropSolver,
                     SGDSolver, get_solver)

__version__ = "0.1.0"

__all__ = ["AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "Error", "Layer",
           "NesterovSolver", "Net", "RMSPropSolver", "SGDSolver", "TEST", "TRAIN", "get_solver",
           "layer_type_list", "set_device", "set_mode_cpu", "set_mode_gpu", "set_random_seed"]
