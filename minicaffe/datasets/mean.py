"""The mean picture of a data set, and its file (compute_image_mean.cpp)."""

import numpy as np

from ..proto import caffe_pb2
from ..proto.weights import write_binary

CHUNK = 1000                        # records read at once


def image_mean(dataset):
    """The mean (C, H, W) over all images of a Dataset, float32, summed in float64."""
    total = np.zeros(dataset.shape, np.float64)
    for start in range(0, len(dataset), CHUNK):
        images, _ = dataset.read(np.arange(start, min(start + CHUNK, len(dataset))))
        total += images.sum(axis=0, dtype=np.float64)
    return (total / len(dataset)).astype(np.float32)


def write_mean(mean, path):
    """Write a mean picture as .binaryproto, with the four sizes of Caffe's older blobs.

    That is what Caffe writes, and what programs that read mean files expect.
    """
    channels, height, width = mean.shape
    write_binary(caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width,
                                     data=mean.ravel()), path)
