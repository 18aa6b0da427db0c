"""Small nets from text. Import as `from net_helpers import build, layer`."""

import numpy as np

import minicaffe as caffe
from minicaffe.proto import caffe_pb2, text


def layer(name, type_name, bottom=(), top=None, more=""):
    """The text of one layer; bottom and top: names separated by spaces, top `name` if None."""
    bottom = bottom.split() if isinstance(bottom, str) else bottom
    top = [name] if top is None else top.split()
    ends = [f'bottom: "{b}"' for b in bottom] + [f'top: "{t}"' for t in top]
    return f'layer {{ name: "{name}" type: "{type_name}" {" ".join(ends)} {more} }}\n'


def inputs(**shapes):
    """An Input layer named `in` whose tops are the keywords."""
    sizes = " ".join("shape { " + " ".join(f"dim: {d}" for d in s) + " }" for s in shapes.values())
    return layer("in", "Input", top=" ".join(shapes), more=f"input_param {{ {sizes} }}")


def ip(name, bottom, num_output=3, top=None, more=""):
    """An InnerProduct layer with random weights and biases."""
    fields = f"""inner_product_param {{ num_output: {num_output}
        weight_filler {{ type: "gaussian" }} bias_filler {{ type: "gaussian" }} }} {more}"""
    return layer(name, "InnerProduct", bottom, top, fields)


def net_param(source):
    """The NetParameter of a text."""
    return text.parse(source, caffe_pb2.NetParameter)


def build(source, phase=caffe.TRAIN, *, dtype=np.float64, seed=1, **options):
    """A Net of a text, its inputs Gaussian (blobs named label: 0, 1, 2, 0 ...)."""
    net = caffe.Net(net_param(source), phase, dtype=dtype, seed=seed, **options)
    rng = np.random.default_rng(seed)
    for name in net.inputs:
        blob = net.blobs[name]
        blob.data[...] = rng.normal(size=blob.shape)
        if name == "label":
            blob.data[...] = np.arange(blob.size).reshape(blob.shape) % 3
    return net


DATA = inputs(x=(4, 5), label=(4,))
LOSS = layer("loss", "SoftmaxWithLoss", "c label")
SMALL = "name: 'small' " + DATA + ip("a", "x", 6) + layer("r", "ReLU", "a", "a") + ip("c", "a") \
    + LOSS


def file_of(tmp_path, text, name="net.prototxt"):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def data(net, *names):
    return [net.blobs[name].data.copy() for name in names]
