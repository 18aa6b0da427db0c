"""Rows by number: the check of indices that come as floats."""

import numpy as np


def row_indices(xp, values, rows, what, error):
    """Float `values` as integer indices (flat); one that is no whole number from 0 to rows - 1
    raises `error`, which names `what` (such as "index")."""
    flat = values.reshape(-1)
    good = (flat >= 0) & (flat < rows) & (flat == xp.floor(flat))
    if not good.all():
        at = int(good.argmin())
        place = tuple(int(i) for i in np.unravel_index(at, values.shape)) if values.shape else ()
        raise error(f"{what} {float(flat[at]):.9g} at {place} is not a whole number from 0 to "
                    f"{rows - 1}")
    return flat.astype(np.intp)
