"""The divisor of a loss, which several families of losses share."""


def normalization_of(param, default=None):
    """The mode that a LossParameter asks for: `normalization`, else the older `normalize` (VALID
    if true, BATCH_SIZE if false), else `default` (None: the schema's, VALID)."""
    if not param.HasField("normalization"):
        if param.HasField("normalize"):
            return param.VALID if param.normalize else param.BATCH_SIZE
        if default is not None:
            return default
    return param.normalization


def normalizer(xp, param, mode, full, batch, valid):
    """The divisor n, at least 1.

    FULL: `full`, the number of labels; VALID: the number of True in `valid`; BATCH_SIZE: `batch`;
    NONE: 1.
    """
    if mode == param.VALID:
        return xp.maximum(valid.sum(), 1)
    return max({param.FULL: full, param.BATCH_SIZE: batch, param.NONE: 1}[mode], 1)
