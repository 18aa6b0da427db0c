"""HDF5Output: two blobs written to a file, batch after batch."""

import os

from ..backend import to_numpy
from ..datasets.base import optional
from ..errors import BackendError
from .base import Layer, register_layer


@register_layer("HDF5Output")
class HDF5Output(Layer):
    """Writes its bottoms as the datasets `data` and `label` of the HDF5 file `file_name`.

    bottom[0]  data  (N, ...)      bottom[1]  label  (N, ...)       no tops
    As in Caffe, both are stored with at least 4 axes: (N, channels, height, width). The first
    forward pass makes the file anew, each further one adds its rows below (Caffe fails there).
    Between passes the file is closed. No gradient. Source: hdf5_output_layer.cpp.
    """

    message = "hdf5_output_param"
    num_bottom, num_top = 2, 0
    needs_host = True
    begun = False                # whether the file is this layer's already

    def setup(self, bottom, top):
        name = self.param.file_name
        if not name:
            raise self.error("file_name is missing")
        if not os.path.isdir(os.path.dirname(name) or "."):
            raise self.error(f"file_name: there is no folder {os.path.dirname(name)}")
        try:
            self.h5py = optional("h5py", "hdf5", "writing HDF5 files")
        except BackendError as error:
            raise BackendError(str(self.error(str(error)))) from error

    def reshape(self, bottom, top):
        data, label = bottom
        if not data.shape or data.shape[:1] != label.shape[:1]:
            raise self.error(f"bottoms of shapes {data.shape} and {label.shape} differ in their "
                             "number of samples")

    def forward(self, bottom, top):
        path = self.param.file_name
        try:
            with self.h5py.File(path, "a" if self.begun else "w") as file:
                self.begun = True
                for name, blob in zip(("data", "label"), bottom):
                    rows = to_numpy(blob.data)
                    self._append(file, name, rows.reshape(rows.shape + (1,) * (4 - rows.ndim)))
        except OSError as error:
            raise self.error(f"{path} can't be written: {error}") from error

    def _append(self, file, name, rows):
        if name not in file:
            file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]), chunks=True)
            return
        dataset, before = file[name], len(file[name])
        if dataset.shape[1:] != rows.shape[1:]:
            raise self.error(f"rows of '{name}' are {rows.shape[1:]}, those already in "
                             f"{self.param.file_name} {dataset.shape[1:]}")
        dataset.resize(before + len(rows), axis=0)
        dataset[before:] = rows

    def backward(self, top, propagate_down, bottom):
        for blob, wanted in zip(bottom, propagate_down):
            if wanted:
                blob.diff.fill(0)
