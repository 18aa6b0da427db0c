"""The HDF5Data layer: named arrays from HDF5 files."""

from ..datasets import Order
from ..datasets.hdf5 import Hdf5Files
from ..errors import BackendError, DataError
from .base import register_layer
from .data import PrefetchingLayer

DEPTH = 4           # batches made ahead


@register_layer("HDF5Data")
class HDF5Data(PrefetchingLayer):
    """Rows of the datasets that bear the names of the tops.

    top[i]  batch_size x (shape of a row of dataset top[i])
    source is a text file that lists .h5 files. The rows of all files follow each other and wrap
    around at the end; with `shuffle` the files, and the rows within each, are in a new order every
    epoch. Source: hdf5_data_layer.cpp.
    """

    message = "hdf5_data_param"
    num_top = (1, None)

    def setup(self, bottom, top):
        p, names = self.param, list(self.layer_param.top)
        if p.batch_size < 1:
            raise self.error(f"batch_size {p.batch_size} must be at least 1")
        if self.layer_param.HasField("transform_param"):
            raise self.error("HDF5Data does not transform: transform_param must not be given")
        try:
            files = Hdf5Files(p.source, names)
        except (BackendError, DataError) as error:
            raise self.place_error(error) from error
        order = Order(len(files), p.batch_size, p.shuffle, self.draw_seed(), groups=files.counts)
        shapes = [(p.batch_size, *files.shapes[name]) for name in names]
        self.start(files, _filler(files, order), shapes, DEPTH)


def _filler(files, order):
    """The function that writes batch k."""
    def fill(k, arrays):
        for array, rows in zip(arrays, files.read(order.indices(k)).values()):
            array[...] = rows
    return fill
