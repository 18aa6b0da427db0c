"""What pycaffe's notebooks and scripts do, with `import minicaffe as caffe`."""

import logging
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicaffe as caffe
from minicaffe import layers as L, params as P
from minicaffe.errors import Error, NetError
from minicaffe.net import seed


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Working directory with pictures/{train,t10k}: 28 x 28 images whose label is a bright stripe."""
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for prefix, n in ("train", 300), ("t10k", 100):
        labels = rng.integers(10, size=n)
        images = rng.integers(60, size=(n, 28, 28))
        for image, label in zip(images, labels):
            image[2 * label + 4:2 * label + 7] += 150
        for kind, values in ("images-idx3", images), ("labels-idx1", labels):
            head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
            (tmp_path / "pictures" / f"{prefix}-{kind}-ubyte").write_bytes(
                head + values.astype(np.uint8).tobytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lenet(source, batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.Data(batch_size=batch_size, backend=P.Data.IDX, source=source,
                             transform_param=dict(scale=1. / 255), ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=12, weight_filler=dict(type="xavier"))
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=50, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


SOLVER = """train_net: "train.prototxt" test_net: "test.prototxt" test_iter: 2 test_interval: 500
base_lr: 0.02 momentum: 0.9 weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001 power: 0.75
display: 100 max_iter: 10000 snapshot_prefix: "lenet" solver_mode: CPU random_seed: 1
"""


def test_notebook_01_learning_lenet(pictures):
    with open("train.prototxt", "w") as f:
        f.write(str(lenet("pictures/train", 30)))
    with open("test.prototxt", "w") as f:
        f.write(str(lenet("pictures/t10k", 50)))
    with open("solver.prototxt", "w") as f:
        f.write(SOLVER)
    caffe.set_mode_cpu()
    solver = caffe.SGDSolver("solver.prototxt")
    shapes = [(k, v.data.shape) for k, v in solver.net.blobs.items()]
    assert shapes[:4] == [("data", (30, 1, 28, 28)), ("label", (30,)), ("conv1", (30, 20, 24, 24)),
                          ("pool1", (30, 20, 12, 12))]
    assert [(k, v[0].data.shape) for k, v in solver.net.params.items()] == [
        ("conv1", (20, 1, 5, 5)), ("conv2", (12, 20, 5, 5)), ("fc1", (50, 192)), ("score", (10, 50))]
    solver.net.forward()
    assert set(solver.test_nets[0].forward()) == {"loss"}
    strip = solver.net.blobs["data"].data[:8, 0].transpose(1, 0, 2).reshape(28, 8 * 28)
    assert strip.max() <= 1 and strip.shape == (28, 224)
    solver.step(1)
    filters = solver.net.params["conv1"][0].diff[:, 0].reshape(4, 5, 5, 5)
    assert filters.transpose(0, 2, 1, 3).reshape(4 * 5, 5 * 5).any()
    niter, test_interval = 40, 20
    train_loss, test_acc = np.zeros(niter), np.zeros(int(np.ceil(niter / test_interval)))
    output = np.zeros((niter, 8, 10))
    for it in range(niter):
        solver.step(1)
        train_loss[it] = solver.net.blobs["loss"].data
        solver.test_nets[0].forward(start="conv1")
        output[it] = solver.test_nets[0].blobs["score"].data[:8]
        if it % test_interval == test_interval - 1:
            correct = 0
            for test_it in range(2):
                solver.test_nets[0].forward()
                correct += sum(solver.test_nets[0].blobs["score"].data.argmax(1)
                               == solver.test_nets[0].blobs["label"].data)
            test_acc[it // test_interval] = correct / 100
    assert train_loss[-5:].mean() < 0.3 * train_loss[:3].mean()
    assert test_acc[-1] > 0.9 and np.ptp(output[:, 0], axis=0).any()
    solver.close()


def small_net(batch=4, classes=5):
    n = caffe.NetSpec()
    n.data = L.Input(input_param=dict(shape=dict(dim=[batch, 3, 12, 12])))
    n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=4, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool5 = L.Pooling(n.relu1, pool=P.Pooling.MAX, global_pooling=True)
    n.fc8 = L.InnerProduct(n.pool5, num_output=classes, weight_filler=dict(type="xavier"))
    n.prob = L.Softmax(n.fc8)
    return n.to_proto()


@pytest.fixture
def deployed(tmp_path):
    """Paths of a net and its weights."""
    (tmp_path / "deploy.prototxt").write_text(str(small_net()))
    caffe.Net(small_net(), caffe.TEST, seed=3).save(tmp_path / "w.caffemodel")
    return str(tmp_path / "deploy.prototxt"), str(tmp_path / "w.caffemodel")


def test_notebook_00_classification(deployed, tmp_path):
    net = caffe.Net(*deployed, caffe.TEST)
    mu = np.arange(3 * 5 * 5, dtype=float).reshape(3, 5, 5).mean(1).mean(1)
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", mu)
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    net.blobs["data"].reshape(2, 3, 12, 12)
    image = np.random.default_rng(0).random((20, 16, 3))
    transformed = transformer.preprocess("data", image)
    net.blobs["data"].data[...] = transformed
    output = net.forward()
    assert output["prob"].shape == (2, 5) and set(output) == {"prob"}
    assert_allclose(output["prob"].sum(axis=1), 1, rtol=1e-6)
    assert_array_equal(output["prob"][0], output["prob"][1])
    top_inds = output["prob"][0].argsort()[::-1][:3]
    assert output["prob"][0][top_inds[0]] == output["prob"].max()
    for name, blob in net.blobs.items():
        assert blob.data.shape[0] == 2, name
    filters = net.params["conv1"][0].data
    assert filters.transpose(0, 2, 3, 1).shape == (4, 3, 3, 3)
    assert net.blobs["conv1"].data[0, :36].min() >= 0
    assert np.histogram(net.blobs["pool5"].data[0].flat, bins=10)[0].sum() == 4
    assert net._blob_names == ["data", "conv1", "pool5", "fc8", "prob"]
    assert net._layer_names[0] == "data" and net.layer_dict["fc8"].blobs[0].shape == (5, 4)


def test_classifier_is_the_mean_over_crops(deployed):
    options = dict(image_dims=(16, 14), mean=np.float32([1, 2, 3]), raw_scale=255, input_scale=0.1,
                   channel_swap=(2, 1, 0))
    classifier = caffe.Classifier(*deployed, **options)
    images = list(np.random.default_rng(1).random((3, 20, 15, 3)))
    net = caffe.Net(*deployed, caffe.TEST)
    net.blobs["data"].reshape(1, 3, 12, 12)

    def score(crop):
        x = crop[:, :, ::-1].transpose(2, 0, 1) * 255 - np.float32([[[1]], [[2]], [[3]]])
        return net.forward(data=x[None] * 0.1)["prob"][0].copy()

    one = classifier.predict(images, oversample=False)
    many = classifier.predict(images)
    assert one.shape == many.shape == (3, 5)
    for image, centre, mean in zip(images, one, many):
        image = caffe.io.resize_image(image, (16, 14))
        assert_allclose(centre, score(image[2:14, 1:13]), rtol=1e-4)
        crops = [image[y:y + 12, x:x + 12] for y, x in ((0, 0), (0, 2), (4, 0), (4, 2), (2, 1))]
        crops += [crop[:, ::-1] for crop in crops]
        assert_allclose(mean, np.mean([score(crop) for crop in crops], axis=0), rtol=1e-4)


def test_bad_classifiers(deployed, tmp_path):
    with pytest.raises(NetError, match=r"image_dims \(16, 11\) are smaller .* \(12, 12\)"):
        caffe.Classifier(*deployed, image_dims=(16, 11))
    (tmp_path / "flat.prototxt").write_text(str(L.InnerProduct(
        L.Input(input_param=dict(shape=dict(dim=[2, 3]))), num_output=2).to_proto()))
    caffe.Net(str(tmp_path / "flat.prototxt"), caffe.TEST).save(tmp_path / "flat.caffemodel")
    with pytest.raises(NetError, match="flat.prototxt: a Classifier needs an Input layer of shape"):
        caffe.Classifier(str(tmp_path / "flat.prototxt"), str(tmp_path / "flat.caffemodel"))


def test_forward_all_and_forward_backward_all():
    net = caffe.Net(small_net(), caffe.TEST, seed=1)
    data = np.random.default_rng(2).normal(size=(10, 3, 12, 12)).astype(np.float32)
    out = net.forward_all(blobs=["fc8"], data=data)
    assert {k: v.shape for k, v in out.items()} == {"prob": (10, 5), "fc8": (10, 5)}
    expected = np.concatenate([net.forward(data=data[k:k + 4])["prob"].copy() for k in (0, 4)])
    assert_allclose(out["prob"][:8], expected, rtol=1e-6)
    param = small_net()
    param.force_backward = True
    net = caffe.Net(param, caffe.TRAIN, seed=1)
    top = np.random.default_rng(3).normal(size=(10, 5)).astype(np.float32)
    outs, diffs = net.forward_backward_all(diffs=["fc8"], data=data, prob=top)
    assert outs["prob"].shape == (10, 5)
    assert diffs["data"].shape == data.shape and diffs["fc8"].shape == (10, 5)
    net.blobs["data"].reshape(10, 3, 12, 12)
    net.forward(data=data)
    assert_allclose(diffs["data"], net.backward(prob=top)["data"], atol=1e-6)
    for arrays, message in (({}, "needs the net's inputs as keywords: data"),
                            ({"datum": data}, "'datum' is no input"),
                            ({"data": data[:, :1]}, r"the net expects rows of \(3, 12, 12\)"),
                            ({"data": data[:0]}, "at least 1")):
        with pytest.raises(NetError, match=message):
            net.forward_all(**arrays)


def test_a_loss_gives_one_number_a_batch():
    n = caffe.NetSpec()
    n.x, n.t = (L.Input(input_param=dict(shape=dict(dim=[2, 3]))) for _ in range(2))
    n.loss = L.EuclideanLoss(n.x, n.t)
    x = np.arange(15.0).reshape(5, 3)
    out = caffe.Net(n.to_proto(), caffe.TEST).forward_all(x=x, t=np.zeros((5, 3)))
    assert_allclose(out["loss"], [(np.square(x[k:k + 2])).sum() / 4 for k in (0, 2, 4)], rtol=1e-6)


def test_names_of_pycaffe(caplog, monkeypatch):
    for name in ("Net", "SGDSolver", "NesterovSolver", "AdaGradSolver", "RMSPropSolver",
                 "AdaDeltaSolver", "AdamSolver", "NetSpec", "Classifier", "get_solver", "TRAIN",
                 "TEST", "set_random_seed", "layer_type_list", "to_proto", "log", "set_mode_cpu",
                 "set_mode_gpu", "set_device", "Layer", "__version__"):
        assert hasattr(caffe, name), name
    assert caffe.proto.caffe_pb2.NetParameter().name == ""
    assert "Convolution" in caffe.layer_type_list()
    with caplog.at_level(logging.INFO, "minicaffe"):
        caffe.log("five % of it")
    assert caplog.messages == ["five % of it"]
    monkeypatch.setattr(seed, "_default", None)                # put back at the end
    caffe.set_random_seed(5)
    first, second = (caffe.Net(small_net(), caffe.TEST).params["fc8"][0].data for _ in range(2))
    assert_array_equal(first, second)


def test_import_is_light():
    """Optional packages, and slow ones that few need, are imported on use."""
    code = ("import sys, minicaffe\n"
            "print([m for m in ('PIL', 'h5py', 'graphviz', 'lmdb', 'matplotlib', 'tqdm', "
            "'scipy.io', 'scipy.ndimage') if m in sys.modules])")
    path = os.path.dirname(os.path.dirname(caffe.__file__))
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                         env={**os.environ, "PYTHONPATH": path})
    assert out.stdout == "[]\n"


def test_a_wrong_type_is_found_by_the_net():
    with pytest.raises(Error, match="unknown layer type 'ReLu': did you mean 'ReLU'"):
        caffe.Net(L.ReLu(L.Input()).to_proto(), caffe.TEST)
