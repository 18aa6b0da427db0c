"""Classifier: a net for images with the preprocessing it needs; pycaffe's class."""

import numpy as np

from . import io
from .backend import to_numpy
from .errors import NetError
from .net import Net
from .proto.caffe_pb2 import TEST


class Classifier(Net):
    """A TEST net whose one input takes images; `predict` prepares them and gives class scores.

    model_file, pretrained_file: the .prototxt and the .caffemodel
    image_dims       (height, width) to bring images to before cropping; default: the input's
    mean, input_scale, raw_scale, channel_swap      for the input: see io.Transformer
    Pixels are transposed from H x W x K to K x H x W.
    """

    def __init__(self, model_file, pretrained_file, image_dims=None, mean=None, input_scale=None,
                 raw_scale=None, channel_swap=None):
        super().__init__(model_file, TEST, weights=pretrained_file)
        if not self.inputs or len(self.blobs[self.inputs[0]].shape) != 4:
            raise NetError(f"{model_file}: a Classifier needs an Input layer of shape N x K x H x W")
        in_ = self.inputs[0]
        self.transformer = io.Transformer({in_: self.blobs[in_].shape})
        self.transformer.set_transpose(in_, (2, 0, 1))
        for given, setter in ((mean, self.transformer.set_mean),
                              (input_scale, self.transformer.set_input_scale),
                              (raw_scale, self.transformer.set_raw_scale),
                              (channel_swap, self.transformer.set_channel_swap)):
            if given is not None:
                setter(in_, given)
        self.crop_dims = np.array(self.blobs[in_].shape[2:])
        self.image_dims = tuple(image_dims) if image_dims else tuple(self.crop_dims)
        if (np.array(self.image_dims) < self.crop_dims).any():
            raise NetError(f"image_dims {self.image_dims} are smaller than the input of "
                           f"{model_file}, {tuple(map(int, self.crop_dims))}")

    def predict(self, inputs, oversample=True):
        """Scores (N, classes) of N images (H, W, K).

        oversample: the mean over ten crops (corners, centre, mirrored); else the centre crop.
        """
        in_ = self.inputs[0]
        images = np.stack([io.resize_image(image, self.image_dims) for image in inputs])
        if oversample:
            crops = io.oversample(images, self.crop_dims)
        else:
            y, x = (np.array(self.image_dims) / 2 - self.crop_dims / 2).astype(int)
            crops = images[:, y:y + self.crop_dims[0], x:x + self.crop_dims[1]]
        data = np.stack([self.transformer.preprocess(in_, crop) for crop in crops])
        scores = to_numpy(self.forward_all(**{in_: data})[self.outputs[0]])
        return scores.reshape(len(images), 10, -1).mean(axis=1) if oversample else scores
