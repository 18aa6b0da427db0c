"""Time on one core: sequentially semiseparable layers beside dense ones.

All sides take turns, so that they see the same machine. The layers are whole ones, with biases.
"""

from typing import NamedTuple

import numpy as np

from ..errors import Error
from ..primitives.parallel import one_thread
from .block_bench import layer_passes, pass_times

# (inputs, outputs, batches, shares of the dense layer's weights)
CASES = ((4096, 4096, (100, 1), (0.2,)),
         (2048, 1000, (100, 1), (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)))
STAGES = (3, 5, 8, 12, 16, 24, 32, 48)         # the fastest of them is shown


class Row(NamedTuple):
    """Medians in microseconds for weights of `outputs` x `inputs`, the fastest number of stages.

    forward     y = W x + c              all         and all gradients, of W's matrices, c and x
    dense       of InnerProduct          dense_all
    equal       of an InnerProduct with as many multiply-adds; equal_all
    """

    inputs: int
    outputs: int
    batch: int
    share: float
    stages: int
    state_dim: int
    forward: float
    all: float
    dense: float
    dense_all: float
    equal: float
    equal_all: float


def products(inputs, outputs, batch, share, rounds, stages=STAGES):
    """The Row of the number of stages whose forward pass is the fastest.

    Raises Error where none of `stages` fits the share.
    """
    dense = layer_passes("InnerProduct", inputs, batch, num_output=outputs)[1]
    equal = layer_passes("InnerProduct", inputs, batch,
                         num_output=max(1, round(share * outputs)))[1]
    jobs = {"dense": dense[:1], "dense_all": dense, "equal": equal[:1], "equal_all": equal}
    dims = {}
    for p in stages:
        try:
            layer, passes = layer_passes("SSSInnerProduct", inputs, batch, num_output=outputs,
                                         stages=p, param_share=share)
        except Error:
            continue
        dims[p] = layer.sizes.state_dim
        jobs.update({(p, "forward"): passes[:1], (p, "all"): passes})
    if not dims:
        raise Error(f"{outputs} x {inputs} weights at a share of {share:g}: no number of stages "
                    f"of {', '.join(map(str, stages))} fits")
    with one_thread():
        taken = [pass_times(jobs) for _ in range(rounds + 1)][1:]
    medians = {side: float(np.median([times[side] for times in taken])) for side in jobs}
    best = min(dims, key=lambda p: medians[p, "forward"])
    return Row(inputs, outputs, batch, share, best, dims[best], medians[best, "forward"],
               medians[best, "all"], *(medians[side] for side in ("dense", "dense_all", "equal",
                                                                  "equal_all")))
