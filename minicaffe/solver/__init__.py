"""Solvers: the training loop, learning rate policies, update rules, snapshots."""

from .base import Solver, get_solver, solver_class, solver_type_list
from .rule_adadelta import AdaDeltaSolver
from .rule_adagrad import AdaGradSolver
from .rule_adam import AdamSolver
from .rule_nesterov import NesterovSolver
from .rule_rmsprop import RMSPropSolver
from .rule_sgd import SGDSolver

__all__ = ["AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "NesterovSolver", "RMSPropSolver",
           "SGDSolver", "Solver", "get_solver", "solver_class", "solver_type_list"]
