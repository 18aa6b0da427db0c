"""What Figs. 6 to 12 share: spectra of ip1 in sister nets, beside a random matrix R's."""

import numpy as np

from minicaffe.analysis.spectra import (MarchenkoPastur, distance_from_random, eigenvalues,
                                        random_matrix, singular_values, spectral_density)
from minicaffe.errors import Error

LAYER = "ip1"


def blocks_of(family, scale):
    """The numbers of blocks to run at this scale."""
    few = dict.fromkeys((*family.blocks[:2], family.blocks[-1]))
    return family.blocks if scale != "smoke" else tuple(few)


def runs(family, scale, **options):
    """The training runs of the family."""
    return [family.run(b, scale, **options) for b in blocks_of(family, scale)]


def finished(family, scale, load, **options):
    """{number of blocks: arrays} of the runs that are done. Raises Error unless b = 1 is."""
    members = zip(blocks_of(family, scale), runs(family, scale, **options))
    found = {b: load(run) for b, run in members}
    if found[1] is None:
        raise Error(f"the run of {family.name} without blocks, with which all others are compared, "
                    "is not done yet")
    return {b: arrays for b, arrays in found.items() if arrays is not None}


def variances(found):
    """Per member: its blocks, and the variance of ip1's weights at each recorded iteration."""
    return {"iterations": found[1]["record_iterations"],
            "members": [{"blocks": b, "variance": arrays[f"{LAYER}.variance"]}
                        for b, arrays in found.items()]}


def variance_ratios(numbers):
    """{b: ratio of variances to b = 1's, by iteration} of what `variances` gave."""
    by_blocks = {m["blocks"]: np.asarray(m["variance"]) for m in numbers["members"]}
    return {b: values / by_blocks[1] for b, values in by_blocks.items() if b > 1}


def final_spectra(family, found):
    """Sorted singular values of every member after training, and of R of b = 1's final variance."""
    variance = found[1][f"{LAYER}.variance"][-1]
    return {"variance": variance, "random": random_values(family.shape, variance),
            "members": [{"blocks": b, "singular_values": arrays[f"{LAYER}.singular_values"][-1]}
                        for b, arrays in found.items()]}


def random_values(shape, variance):
    """The singular values of the one R of that shape that all figures use, scaled to a variance."""
    unit = singular_values(random_matrix(shape, 1.0, np.random.default_rng(0)))
    return unit * np.sqrt(variance)


def distances(family, found):
    """Per member and recorded iteration: E|1 - sigma_W / sigma_R|, R of b = 1's variance then."""
    unit = random_values(family.shape, 1.0)
    base = np.sqrt(found[1][f"{LAYER}.variance"])
    return {"iterations": found[1]["record_iterations"],
            "members": [{"blocks": b, "distance": [
                distance_from_random(values, unit * s)
                for values, s in zip(arrays[f"{LAYER}.singular_values"], base)]}
                for b, arrays in found.items()]}


def density(family, found, bins=40):
    """Histograms of the eigenvalues of W W^T / n and R R^T / n, b = 1; the law's density.

    W is seen as inputs x outputs, m x n, as the paper does: for m > n, m - n eigenvalues are 0.
    """
    (m, n), values = family.shape, final_spectra(family, found)
    law = MarchenkoPastur(m / n, values["variance"])
    spectra = {"W": eigenvalues(found[1][f"{LAYER}.singular_values"][-1], m, n),
               "R": eigenvalues(values["random"], m, n)}
    edges = np.linspace(0.8 * law.a, 1.25 * law.b, bins + 1)
    x = np.linspace(law.a, law.b, 400)
    return {"edges": edges, "law_x": x, "law_density": law.density(x), "law_edges": [law.a, law.b],
            "mass_at_zero": law.mass_at_zero,
            **{name: spectral_density(eigs, edges) for name, eigs in spectra.items()},
            "outside": {name: float((eigs > edges[-1]).mean()) for name, eigs in spectra.items()}}


def compare_density(numbers):
    """Rows of a comparison of densities."""
    widths, outside = np.diff(numbers["edges"]), numbers["outside"]
    apart = float(np.sum(np.abs(np.subtract(numbers["W"], numbers["R"])) * widths)
                  + abs(outside["W"] - outside["R"])) / 2
    return [("share of eigenvalues by which W's histogram differs from R's", "small", apart),
            ("share of W's eigenvalues right of the histogram", None, outside["W"])]


def compare_variances(numbers, paper):
    """Rows of a comparison: the final variance of each member, paper: {blocks: variance}."""
    return [(f"final variance of ip1, b1 = {m['blocks']}", paper.get(m["blocks"]),
             m["variance"][-1]) for m in numbers["members"]]
