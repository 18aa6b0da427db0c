"""Nets of inner product layers only, on MNIST, with the solver of Caffe's LeNet."""

from minicaffe.proto import caffe_pb2, text

from .common import PROTOTXT, lenet_run, net_name, with_blocks


def mlp(outputs, blocks, scale="full", seed=1, pruning="", what=""):
    """The Run of a net with those outputs a layer, ReLU between them, Xavier's variance.

    blocks: of ip1, ip2 ..., 1 for dense.
    """
    read, _ = text.read_net(PROTOTXT / "lenet/train_test.prototxt")
    net = caffe_pb2.NetParameter()
    net.layer.extend(layer for layer in read.layer if layer.type == "Data")
    below = "data"
    for i, number in enumerate(outputs, 1):
        net.layer.append(_inner_product(read, f"ip{i}", below, number))
        below = f"ip{i}"
        if i < len(outputs):
            net.layer.add(name=f"relu{i}", type="ReLU", bottom=[below], top=[below])
    for layer in read.layer:
        if layer.type in ("Accuracy", "SoftmaxWithLoss"):
            net.layer.append(layer)
            net.layer[-1].bottom[0] = below
    with_blocks(net, blocks)
    layers = tuple(f"ip{i}" for i in range(1, len(outputs) + 1))
    name = f"{'-'.join(map(str, outputs))} {net_name(blocks, len(outputs))}{what}, seed {seed}"
    return lenet_run(name, net, scale, seed, pruning, layers)


def _inner_product(read, name, below, outputs):
    """LeNet's ip2 under another name, with other outputs."""
    layer = caffe_pb2.LayerParameter()
    layer.CopyFrom(next(layer for layer in read.layer if layer.name == "ip2"))
    layer.name, layer.bottom[:], layer.top[:] = name, [below], [name]
    layer.inner_product_param.num_output = outputs
    return layer
