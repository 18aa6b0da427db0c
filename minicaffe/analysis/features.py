"""Blobs of a net as LMDB databases: what a trained net makes of a data set."""

import contextlib

import numpy as np

from ..backend import to_numpy
from ..datasets.lmdb_writer import check_new, lmdb_writer
from ..errors import Error, NetError
from ..proto import caffe_pb2


def extract_features(net, outputs, iterations):
    """Write rows of blobs over `iterations` batches to LMDBs; outputs: {blob name: path}.

    Records have keys "%010d", count from the first row of the first batch, and hold float_data
    with the sizes channels, height, width of the blob, no label (extract_features.cpp). Returns
    the number of records of each database.
    """
    if iterations < 1:
        raise Error(f"the number of batches must be at least 1, not {iterations}")
    for name, path in outputs.items():
        blob = net._blob(name)
        if not 1 <= len(blob.shape) <= 4:
            raise NetError(f"blob '{name}' of shape {blob.shape} has no rows of up to three axes")
        check_new(path)
    count = dict.fromkeys(outputs, 0)
    with contextlib.ExitStack() as stack:
        put = {name: stack.enter_context(lmdb_writer(path)) for name, path in outputs.items()}
        for _ in range(iterations):
            net.forward()
            for name in outputs:
                blob = net.blobs[name]
                for row in to_numpy(blob.data):
                    put[name](f"{count[name]:010}", caffe_pb2.Datum(
                        channels=blob.channels, height=blob.height, width=blob.width,
                        float_data=np.ravel(row)))
                    count[name] += 1
    return count
