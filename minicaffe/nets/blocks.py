"""Nets named by the blocks of their inner product layers, as NetParameters.

(b1,...,bn)-BDm is a net of m layers with weights whose last n are inner products, of b1, ..., bn
diagonal blocks; one block is the dense InnerProduct.
Source: Nesky and Stout, Neural Comput. Appl. 32 (2020), Section 4.
"""

from ..errors import Error, unknown
from ..proto import caffe_pb2
from .chain import Chain

LEARNING = ("Convolution", "Deconvolution", "InnerProduct", "BlockInnerProduct")
XAVIER = {"type": "xavier"}
# data set: backend and source of its Data layers, the mean colour of its training pictures
COLOURS = {"CIFAR10": ("CIFAR", "cifar-10-batches-bin", [125.3, 123.0, 113.9]),
           "SVHN": ("SVHN", "svhn", [111.6, 113.2, 120.6])}
SHUFFLES = caffe_pb2.BlockInnerProductParameter.Shuffle.keys()


def net_name(blocks, layers):
    """The name of a net of that many layers: (10,1)-BD4."""
    return f"({','.join(map(str, blocks))})-BD{layers}"


def with_blocks(net, blocks, shuffle="NONE"):
    """A copy of a NetParameter whose InnerProduct layers have so many diagonal blocks, by order.

    blocks      a number for each InnerProduct layer; 1 leaves it as it is
    shuffle     of the block diagonal ones: NONE, BLOCKS, CHANNELS or FIXED_BLOCKS
    Blocks are added to the net's name: "LeNet (100,10)-BD4". Raises Error where there are more or
    fewer numbers than layers, where one is less than 1, for an unknown shuffle and for transposed
    weights.
    """
    if shuffle not in SHUFFLES:
        raise Error(unknown("shuffle", shuffle, SHUFFLES))
    result = caffe_pb2.NetParameter()
    result.CopyFrom(net)
    layers = [layer for layer in result.layer if layer.type == "InnerProduct"]
    if len(layers) != len(blocks):
        raise Error(f"{len(blocks)} numbers of blocks are given for {len(layers)} InnerProduct "
                    f"layers: {', '.join(layer.name for layer in layers) or 'none'}")
    if any(number < 1 for number in blocks):
        raise Error(f"numbers of blocks must be at least 1, not {blocks}")
    if any(number != 1 for number in blocks):
        count = sum(layer.type in LEARNING for layer in result.layer)
        result.name = f"{net.name} {net_name(blocks, count)}".strip()
    for layer, number in zip(layers, blocks):
        if number == 1:
            continue
        if layer.inner_product_param.transpose:
            raise Error(f"layer '{layer.name}': transposed weights can't be made block diagonal")
        layer.CopyFrom(block_diagonal(layer, num_blocks=number))
        if shuffle != "NONE":
            param = layer.block_inner_product_param
            param.shuffle = param.Shuffle.Value(shuffle)
    return result


def block_diagonal(layer, **blocks):
    """The LayerParameter of a BlockInnerProduct like an InnerProduct's, without weights.

    blocks: the fields that say what its blocks are, num_blocks or the two lists of sizes.
    """
    return inner_product_like(layer, "BlockInnerProduct", "block_inner_product_param", **blocks)


def inner_product_like(layer, type_name, message, **fields):
    """The LayerParameter of another type like an InnerProduct's, without weights.

    message: the field with that type's own parameters; they are those of the InnerProduct but
    transpose, and `fields`, which go first.
    """
    new, old = caffe_pb2.LayerParameter(), layer.inner_product_param
    new.CopyFrom(layer)
    new.type = type_name
    new.ClearField("inner_product_param")
    new.ClearField("blobs")
    own = {field.name: value for field, value in old.ListFields() if field.name != "transpose"}
    param = getattr(new, message)
    param.MergeFrom(type(param)(**{**own, **fields}))
    return new


def lenet(blocks=(1, 1), shuffle="NONE"):
    """LeNet-5 of Caffe's MNIST example: prototxt/lenet/train_test.prototxt with blocks in ip1, ip2.

    ip1 is (500, 800), ip2 (10, 500): (10, 1) and (100, 10) are the paper's nets.
    """
    net = _mnist("LeNet")
    net.learn("Convolution", "conv1", XAVIER, num_output=20, kernel_size=[5], stride=[1])
    net.add("Pooling", "pool1", pooling_param={"pool": "MAX", "kernel_size": 2, "stride": 2})
    net.learn("Convolution", "conv2", XAVIER, num_output=50, kernel_size=[5], stride=[1])
    net.add("Pooling", "pool2", pooling_param={"pool": "MAX", "kernel_size": 2, "stride": 2})
    net.learn("InnerProduct", "ip1", XAVIER, num_output=500)
    net.add_in_place("ReLU", "relu1")
    net.learn("InnerProduct", "ip2", XAVIER, num_output=10)
    return with_blocks(net.finished(), blocks, shuffle)


def cuda_convnet(blocks=(1, 1), shuffle="NONE", data="CIFAR10"):
    """Caffe's quick net: prototxt/cuda_convnet/quick_train_test.prototxt with blocks in ip1, ip2.

    ip1 is (64, 1024), ip2 (10, 64): (8, 1) and (64, 2) are the paper's nets. data: CIFAR10 or SVHN,
    the file svhn_train_test.prototxt there.
    """
    if data not in COLOURS:
        raise Error(unknown("data", data, COLOURS))
    backend, source, mean = COLOURS[data]
    net = Chain("CIFAR10_quick")
    for phase, split in ("TRAIN", "train"), ("TEST", "test"):
        net.data("cifar", phase, {"mean_value": mean}, backend=backend, source=source, split=split,
                 batch_size=100)
    for i, (outputs, std) in enumerate([(32, 1e-4), (32, 0.01), (64, 0.01)], 1):
        net.learn("Convolution", f"conv{i}", {"type": "gaussian", "std": std}, num_output=outputs,
                  pad=[2], kernel_size=[5], stride=[1])
        pooling = {"pool": "AVE" if i > 1 else "MAX", "kernel_size": 3, "stride": 2}
        if i > 1:
            net.add_in_place("ReLU", f"relu{i}")
        net.add("Pooling", f"pool{i}", pooling_param=pooling)
        if i == 1:
            net.add_in_place("ReLU", "relu1")
    for i, outputs in (1, 64), (2, 10):
        net.learn("InnerProduct", f"ip{i}", {"type": "gaussian", "std": 0.1}, num_output=outputs)
    return with_blocks(net.finished(), blocks, shuffle)


def inner_products(outputs, blocks=None, shuffle="NONE"):
    """A net of inner products only, on MNIST: ip1, relu1, ip2 ... with so many outputs each.

    blocks: of each; default 1. The paper's nets are (980, 10) with blocks (49, 1), and
    (500, 500, 10) with blocks (1, 100, 1).
    """
    net = _mnist("inner products " + "-".join(map(str, outputs)))
    for i, number in enumerate(outputs, 1):
        if i > 1:
            net.add_in_place("ReLU", f"relu{i - 1}")
        net.learn("InnerProduct", f"ip{i}", XAVIER, num_output=number)
    return with_blocks(net.finished(), (1,) * len(outputs) if blocks is None else blocks, shuffle)


def _mnist(name):
    net = Chain(name)
    for phase, source, batch_size in ("TRAIN", "mnist/train", 64), ("TEST", "mnist/t10k", 100):
        net.data("mnist", phase, {"scale": 1 / 256}, backend="IDX", source=source,
                 batch_size=batch_size)
    return net
