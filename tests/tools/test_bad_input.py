"""Bad input of tools/train.py: exit code 1, one line `error: ...` that names the culprit."""

import os
import re

import numpy as np
import pytest

from minicaffe.proto import caffe_pb2, weights

# no CuPy; no driver or device; a machine with GPUs, though not so many
NO_GPU = "the GPU needs CuPy|no GPU can be used|there is no GPU 99"


@pytest.fixture
def fails(run_tool, folder):
    """fails("message", arguments ...): the tool ends with that message as its only error line."""
    def check(message, *arguments):
        result = run_tool("train", *(arguments or ["solver.prototxt"]))
        assert result.code == 1, result
        errors = [line for line in result.err.splitlines() if not re.match(r"[IW]\d{4} ", line)]
        assert len(errors) == 1 and errors[0].startswith("error: "), result.err
        assert re.search(message, errors[0]), errors[0]
        assert result.out == "" and not list((folder / "out").glob("*"))
    return check


def edit(path, *pairs):
    """Replace texts in a file, each of which must be there."""
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


# ---- the net: (old text, new text, message); {layer} stands for file:line of the edited layer

IP = '{ num_output: 3 weight_filler { type: "xavier" } }'
NETS = {
    "unknown field": ("kernel_size: 3", "kernel_sise: 3", "net.prototxt:10:37: ConvolutionParameter "
                      "has no field 'kernel_sise'; did you mean 'kernel_size'"),
    "unknown type": ('type: "InnerProduct"', 'type: "InnerProdukt"',
                     "{layer}: layer 'ip': unknown layer type 'InnerProdukt': did you mean 'InnerPr"),
    "bad enum": ("pool: MAX", "pool: MOX", "net.prototxt:12:25: PoolingParameter.PoolMethod has no "
                 "value MOX; known: MAX, AVE"),
    "bad number": ("num_output: 3", "num_output: three", "net.prototxt:14:37: .*integer.*three"),
    "negative number": ("num_output: 3", "num_output: -3", "net.prototxt:14:37: .*out of range: -3"),
    "brace missing": (IP + " }", IP, "net.prototxt:15:1: .*is a } missing before it"),
    "missing bottom": ('bottom: "pool"', 'bottom: "pol"', r"{layer}: layer 'ip' \(InnerProduct\): "
                       "unknown bottom 'pol'"),
    "no bottom": ('bottom: "pool" top: "ip"', 'top: "ip"', r"{layer}: layer 'ip' \(InnerProduct\): "
                  r"takes 1 bottom blob\(s\), the file gives 0"),
    "too many tops": ('top: "ip"', 'top: "ip" top: "b"', r"{layer}: layer 'ip' \(InnerProduct\): "
                      r"takes 1 top blob\(s\), the file gives 2"),
    "top made twice": ('layer { name: "accuracy"', 'layer { name: "b" type: "ReLU" bottom: "conv" '
                       'top: "ip" }\nlayer { name: "accuracy"', "{layer}: layer 'b': top 'ip' is "
                       "already made by layer 'ip'"),
    "cycle": ('bottom: "data" top: "conv"', 'bottom: "ip" top: "conv"', r"{layer}: layer 'conv' "
              r"\(Convolution\): .*'ip'.* cycle"),
    "order": ('bottom: "data" top: "conv"', 'bottom: "late" top: "conv"', "{layer}: layer 'conv' .*"
              "'late'.* layer 'late' makes it only later, at net.prototxt:{last}"),
    "kernel of a convolution larger than its input": (
        "kernel_size: 3", "kernel_size: 9", r"{layer}: layer 'conv' \(Convolution\): kernel \(9, 9\) "
        r".*larger than its input \(8, 8\)"),
    "kernel of a pooling larger than its input": (
        "kernel_size: 2", "kernel_size: 9", r"{layer}: layer 'pool' \(Pooling\): kernel \(9, 9\) is "
        r"larger than its input \(6, 6\)"),
    "no kernel": ("kernel_size: 3", "", r"layer 'conv' \(Convolution\): kernel must be given"),
    "stride 0": ("kernel_size: 3", "kernel_size: 3 stride: 0", "layer 'conv' .*stride.* positive"),
    "num_output 0 of a convolution": ("num_output: 4", "num_output: 0", r"{layer}: layer 'conv' "
                                      r"\(Convolution\): num_output 0 must be"),
    "num_output 0 of an inner product": ("num_output: 3", "num_output: 0", r"{layer}: layer 'ip' "
                                         r"\(InnerProduct\): num_output 0 .*positive"),
    "no num_output": ("num_output: 3", "", r"layer 'ip' \(InnerProduct\): num_output 0 .*positive"),
    "group that doesn't divide num_output": (
        "num_output: 4", "num_output: 4 group: 3", r"{layer}: layer 'conv' \(Convolution\): "
        "num_output 4 must be a positive multiple of group 3"),
    "group that doesn't divide the channels": (
        "num_output: 4", "num_output: 4 group: 2", r"{layer}: layer 'conv' \(Convolution\): number "
        "of channels 1 must be a positive multiple of group 2"),
    "label range": ("num_output: 3", "num_output: 2", r"{layer}: layer 'accuracy' \(Accuracy\): "
                    "label 2 .*not a whole number from 0 to 1"),
    "unknown filler": ('type: "xavier" } } }\nlayer { name: "pool"',
                       'type: "xavir" } } }\nlayer { name: "pool"',
                       "{layer}: layer 'conv' .*'xavir'.*did you mean 'xavier'"),
    "param too often": ("param { lr_mult: 2 }", "param { lr_mult: 2 } param { lr_mult: 1 }",
                        r"{layer}: layer 'conv' \(Convolution\): param is given 3 times for 2 blobs"),
    "include and exclude": ("include { phase: TRAIN }", "include { phase: TRAIN } exclude { min_level: 1 }",
                            "layer 'd' has include and exclude rules"),
    "batch_size 0": ("batch_size: 4", "batch_size: 0", r"{layer}: layer 'd' \(Data\): batch_size 0 "
                     "must be at least 1"),
    "backend LEVELDB": ("backend: IDX", "backend: LEVELDB", "layer 'd' .*LEVELDB"),
    "crop": ("scale: 0.00390625", "crop_size: 9", r"{layer}: layer 'd' \(Data\): .*crop_size 9 is "
             "larger than the image, 8 x 8"),
    "mean_file": ("scale: 0.00390625", 'mean_file: "mean"', r"{layer}: layer 'd' \(Data\): .*"
                  "mean_file: mean not found"),
    "source": ("pictures/train", "pictures/tain", r"{layer}: layer 'd' \(Data\): pictures/tain not "
               "found; looked for /"),
    "no source": ('source: "pictures/train"', "", r"{layer}: layer 'd' \(Data\): source is empty"),
}


@pytest.mark.parametrize("name", NETS)
def test_net(fails, folder, name):
    old, new, message = NETS[name]
    path = folder / "net.prototxt"
    place = 'top: "accuracy"' if name == "label range" else old       # in the layer that complains
    before = path.read_text().split(place)[0] + old[:7]
    layer = max(i for i, line in enumerate(before.splitlines(), 1) if line.startswith("layer {"))
    edit(path, (old, new))
    last = len(path.read_text().splitlines()) + 1
    with open(path, "a") as file:
        file.write('layer { name: "late" type: "ReLU" bottom: "data" top: "late" }\n')
    fails(message.replace("{layer}", f"net.prototxt:{layer}").replace("{last}", str(last)))


@pytest.mark.parametrize("content, message", [
    ("", "net.prototxt: the net has no layers"),
    ('name: "x"', "net.prototxt: the net has no layers"),
    ("layer { }", "net.prototxt:1: layer '': unknown layer type ''"),
    ("hello", "net.prototxt:1:.*"),
    ("layer { name: 'a\n' }", "net.prototxt:1:"),
    ('input: "data" input_dim: 1', "net.prototxt: 1 inputs need as many input_shape or 4 input_dim"),
    ('layers { name: "a" type: RELU }', r"net.prototxt:1: layer 'a' \(ReLU\): takes 1 bottom"),
])
def test_net_that_is_none(fails, folder, content, message):
    (folder / "net.prototxt").write_text(content)
    fails("error: " + message)


# ---- files

@pytest.mark.parametrize("arguments, message", [
    ([], r"FILE.*train.py --help|FILE.*--help"),
    (["a", "b", "c"], "at most two files"),
    (["solver.prototxt", "--weight"], "--weight"),
    (["solver.prototxt", "--what"], "unrecognized arguments: --what"),
    (["missing.prototxt"], "^error: missing.prototxt: can't be read: no such file or directory$"),
    (["missing.prototxt", "solver.prototxt"], "^error: missing.prototxt: can't be read: no such file"),
    (["."], r"^error: \.: can't be read: is a directory$"),
    ([".", "solver.prototxt"], r"^error: \.: can't be read: is a directory$"),
    (["solver.prototxt/x"], "solver.prototxt/x: can't be read: not a directory"),
    (["net.prototxt"], r"net.prototxt:1:1: SolverParameter has no field 'name'"),
    (["solver.prototxt", "net.prototxt"], "net.prototxt:1:1: SolverParameter has no field 'name'"),
    (["pictures/train-labels-idx1-ubyte"], "idx1-ubyte: is a binary file, where a text file"),
    (["solver.prototxt", "--gpu", "99"], NO_GPU),
    (["solver.prototxt", "--gpu", "x"], "--gpu x: must be the number of a GPU, or cpu"),
    (["solver.prototxt", "--set", "base_lr"], "--set base_lr: must be FIELD=VALUE"),
    (["solver.prototxt", "--set", "bas_lr=1"], "--set bas_lr=1: must be FIELD=VALUE, .*base_lr"),
    (["solver.prototxt", "--set", "base_lr=high"], "--set base_lr=high:.*high"),
    (["solver.prototxt", "--set", "max_iter=1.5"], "--set max_iter=1.5:.*1.5"),
    (["solver.prototxt", "--set", 'net="x'], "x: can't be read"),
    (["solver.prototxt", "--log", "solver.prototxt/x"], "solver.prototxt/x: can't be written: "),
    (["solver.prototxt", "--log", "."], r"\.: can't be written: is a directory"),
    (["solver.prototxt", "--weights", "none"], "^error: none: can't be read: no such file"),
    (["solver.prototxt", "--snapshot", "none"], "^error: none: can't be read: no such file"),
    (["solver.prototxt", "--weights", ""], "^error: --weights is empty"),
    (["solver.prototxt", "--snapshot", ""], "^error: --snapshot is empty"),
    (["solver.prototxt", "--log", ""], "^error: --log is empty"),
    (["solver.prototxt", "--weights", "."], r"^error: \.: can't be read: is a directory"),
])
def test_arguments(fails, arguments, message):
    fails(message, *(arguments or ["--gpu", "cpu"]))


# ---- the solver

@pytest.mark.parametrize("old, new, message", [
    ('"fixed"', '"fixd"', "solver.prototxt: unknown lr_policy 'fixd': did you mean 'fixed'"),
    ('lr_policy: "fixed"', "", "solver.prototxt: lr_policy is missing: known are fixed, "),
    ('"fixed"', '"multistep" gamma: 0.1 stepvalue: 5 stepvalue: 3',
     r"solver.prototxt: stepvalue must be sorted, not \[5, 3\]"),
    ('"fixed"', '"multistep" gamma: 0.1', "solver.prototxt: lr_policy 'multistep' needs stepvalue"),
    ('"fixed"', '"step" stepsize: 5', "solver.prototxt: lr_policy 'step' needs gamma"),
    ('"fixed"', '"step" gamma: 0.1 stepsize: 0', "solver.prototxt: stepsize must be positive, not 0"),
    ("base_lr: 0.05", "", "solver.prototxt: lr_policy 'fixed' needs base_lr"),
    ("base_lr: 0.05", "bas_lr: 0.05", "solver.prototxt:1:21: SolverParameter has no field 'bas_lr'; "
                                      "did you mean 'base_lr'"),
    ('net: "net.prototxt"', "", "solver.prototxt: exactly one of net, .* must be given, not none"),
    ('net: "net.prototxt"', 'net: "net.prototxt" train_net: "net.prototxt"',
     "solver.prototxt: exactly one of net, .* must be given, not train_net and net"),
    ("net.prototxt", "not.prototxt", "not.prototxt: can't be read: no such file"),
    ("test_iter: 2", 'test_net: "net.prototxt" test_net: "net.prototxt" test_iter: 2',
     "solver.prototxt: test_iter is given 1 times for 2 test nets"),
    ("test_iter: 2", 'test_net: "net.prototxt"', "test_iter is given 0 times for 1 test nets"),
    ('net: "net.prototxt"', 'train_net: "net.prototxt"', "test_iter is given 1 times for 0 test nets"),
    ("test_iter: 2", "test_iter: 2 test_state { level: 1 } test_state { level: 2 }",
     "solver.prototxt: test_state is given 2 times for 1 test nets"),
    ("test_iter: 2", "test_iter: 0", "solver.prototxt: test_iter must be at least 1, not 0"),
    ("test_interval: 4", "", "solver.prototxt: test_interval must be positive"),
    ("momentum: 0.9", 'momentum: 0.9 type: "SDG"', "solver.prototxt: unknown solver type 'SDG': did "
                                                   "you mean 'SGD'"),
    ("momentum: 0.9", 'momentum: 0.9 type: "AdaGrad"', "solver.prototxt: momentum can't be used with"),
    ("momentum: 0.9", "momentum: 0.9 iter_size: 0", "solver.prototxt: iter_size must be at least 1"),
    ("max_iter: 8", "max_iter: -8", "solver.prototxt: max_iter must be at least 0, not -8"),
    ("momentum: 0.9", 'regularization_type: "L3"', "solver.prototxt: unknown regularization_type 'L3'"),
    ("momentum: 0.9", "solver_mode: GPU device_id: 99", NO_GPU),
    ('"out/net"', '"solver.prototxt/net"', "solver.prototxt: snapshots can't be written to "
                                           r"solver.prototxt/net\*"),
])
def test_solver(fails, folder, old, new, message):
    edit(folder / "solver.prototxt", (old, new))
    fails("^error: .*" + message)


# ---- data

def images(folder):
    return folder / "pictures" / "train-images-idx3-ubyte"


def labels(folder):
    return folder / "pictures" / "train-labels-idx1-ubyte"


def cut(path, count):
    path.write_bytes(path.read_bytes()[:-count])


def fewer_labels(folder):
    head = labels(folder).read_bytes()
    labels(folder).write_bytes(head[:7] + bytes([19]) + head[8:-1])


def no_images(folder):
    head = images(folder).read_bytes()
    images(folder).write_bytes(head[:7] + bytes([0]) + head[8:16])
    labels(folder).write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 0]))


LAYER = r"^error: net.prototxt:2: layer 'd' \(Data\): .*"


@pytest.mark.parametrize("spoil, message", [
    (lambda f: cut(images(f), 1), r"train-images-idx3-ubyte: truncated: its header \(20, 8, 8\) asks "
                                  "for 1296 bytes, it has 1295"),
    (lambda f: cut(images(f), 1290), "train-images-idx3-ubyte: truncated within its header"),
    (lambda f: cut(labels(f), 1), "train-labels-idx1-ubyte: truncated: its header"),
    (lambda f: images(f).write_bytes(b""), "train-images-idx3-ubyte: the file is empty"),
    (lambda f: images(f).write_bytes(b"Hello, world"), "train-images-idx3-ubyte: not an IDX file"),
    (lambda f: images(f).rename(f"{images(f)}.gz"), "idx3-ubyte.gz: .*(gzip|not|damaged)"),
    (lambda f: labels(f).unlink(), "train-labels-idx1-ubyte"),
    (fewer_labels, "20 images but 19 labels"),
    (no_images, "holds no images"),
])
def test_idx(fails, folder, spoil, message):
    spoil(folder)
    fails(LAYER + message)


RECORD = 3073


@pytest.mark.parametrize("content, message", [
    (None, "cifar not found; looked for"),
    ({}, "cifar: holds no .bin files"),
    ({"data_batch_1.bin": b"\1" * (2 * RECORD - 1)}, "data_batch_1.bin: 6145 bytes are not a multiple"),
    ({"data_batch_1.bin": b"\x0b" * 2 * RECORD}, "data_batch_1.bin: record 0 has label 11"),
    ({"data_batch_1.bin": b""}, "data_batch_1.bin: the file is empty"),
    ({"test_batch.bin": b"\1" * RECORD}, "cifar: holds no train files"),
])
def test_cifar(fails, folder, content, message):
    edit(folder / "net.prototxt", ("pictures/train", "cifar"), ("IDX", "CIFAR"))
    if content is not None:
        (folder / "cifar").mkdir()
        for name, data in content.items():
            (folder / "cifar" / name).write_bytes(data)
    fails(LAYER + message)


def write_lmdb(folder, records):
    environment = pytest.importorskip("lmdb").open(str(folder / "db"))
    with environment.begin(write=True) as transaction:
        for i, record in enumerate(records):
            transaction.put(b"%04d" % i, record)
    environment.close()


GOOD = caffe_pb2.Datum(channels=1, height=8, width=8, data=bytes(64), label=1).SerializeToString()
SHORT = caffe_pb2.Datum(channels=1, height=8, width=8, data=bytes(60)).SerializeToString()
OTHER = caffe_pb2.Datum(channels=1, height=4, width=8, data=bytes(32)).SerializeToString()


@pytest.mark.parametrize("records, message", [
    ([], "db: the database is empty"),
    ([b"\xff\xff\xff"], "db: record 0 is not a Datum of Caffe"),
    ([SHORT], r"db: record 0 is not a Datum of Caffe: it says \(1, 8, 8\) and holds 60 values"),
    ([GOOD, GOOD, OTHER, GOOD], r"db: record 2 is \(1, 4, 8\) uint8, the first one \(1, 8, 8\)"),
])
def test_lmdb_records(fails, folder, records, message):
    edit(folder / "net.prototxt", ("pictures/train", "db"), ("IDX", "LMDB"))
    edit(folder / "solver.prototxt", ("test_iter: 2", ""))
    write_lmdb(folder, records)
    fails(LAYER + message)


@pytest.mark.parametrize("content, message", [
    (b"not a database at all" * 500, "db(/data.mdb)?: not an LMDB database"), (b"", "db"),
])
def test_lmdb_files(fails, folder, content, message):
    pytest.importorskip("lmdb")
    edit(folder / "net.prototxt", ("pictures/train", "db"), ("IDX", "LMDB"))
    (folder / "db").mkdir()
    (folder / "db" / "data.mdb").write_bytes(content)
    fails(LAYER + message)


@pytest.mark.parametrize("size", [5000, 40000, -1])
def test_truncated_lmdb(fails, folder, size):
    edit(folder / "net.prototxt", ("pictures/train", "db"), ("IDX", "LMDB"))
    write_lmdb(folder, [GOOD] * 400)
    file = folder / "db" / "data.mdb"
    whole = file.read_bytes()
    file.write_bytes(whole[:size])
    fails(LAYER + f"db: truncated: the database has {len(whole)} bytes, the file {size % len(whole)}")


# ---- weights and solver states

@pytest.fixture
def trained(train, folder):
    """Weights and state of 8 iterations, in a folder of their own."""
    assert train("--set", "snapshot_prefix=old/net").code == 0
    return folder / "old" / "net_iter_8.caffemodel", folder / "old" / "net_iter_8.solverstate"


def damaged(path, change):
    path.write_bytes(change(path.read_bytes()))
    return path


CHANGES = {"truncated": lambda data: data[:len(data) // 2], "short": lambda data: data[:-1],
           "empty": lambda data: b"", "noise": lambda data: b"\xff" * 100,
           "text": lambda data: b"hello\n", "gzip": lambda data: b"\x1f\x8b" + data}


@pytest.mark.parametrize("change", CHANGES)
def test_damaged_weights(fails, trained, change):
    path = damaged(trained[0], CHANGES[change])
    fails(f"error: {path}: is ", "solver.prototxt", "--weights", path)


@pytest.mark.parametrize("change", CHANGES)
def test_damaged_state(fails, trained, change):
    path = damaged(trained[1], CHANGES[change])
    fails(f"error: {path}: is ", "solver.prototxt", "--snapshot", path)


def test_weights_and_state_exchanged(fails, trained):
    model, state = trained
    fails("is a .solverstate, where a binary .caffemodel is expected", "solver.prototxt", "--weights",
          state)
    fails("is a binary .caffemodel, where a binary .solverstate is expected", "solver.prototxt",
          "--snapshot", model)


def test_weights_of_another_shape(fails, trained, folder):
    edit(folder / "net.prototxt", ("num_output: 3", "num_output: 5"))
    fails(rf"error: {trained[0]}: layer 'ip', blob 0 has shape \(3, 36\) there, \(5, 36\) in the net",
          "solver.prototxt", "--weights", trained[0])
    fails(rf"error: {trained[1]}: history blob 2 has shape \(3, 36\), the net's parameter has "
          r"\(5, 36\)", "solver.prototxt", "--snapshot", trained[1])


def test_weights_with_another_number_of_blobs(fails, trained, folder):
    edit(folder / "net.prototxt", ("num_output: 3", "num_output: 3 bias_term: false"))
    fails(f"error: {trained[0]}: layer 'ip' has 2 blobs there, 1 in the net", "solver.prototxt",
          "--weights", trained[0])
    fails(f"error: {trained[1]}: has 4 history blobs, .* needs 3", "solver.prototxt", "--snapshot",
          trained[1])


def test_state_of_another_rule(fails, trained):
    fails(f"error: {trained[1]}: has 4 history blobs, the Adam solver of this net needs 8",
          "solver.prototxt", "--set", "type=Adam", "--snapshot", trained[1])


def test_state_whose_weights_are_gone(fails, trained):
    trained[0].unlink()
    fails(f"error: .*{trained[0].name}: can't be read: no such file", "solver.prototxt", "--snapshot",
          trained[1])


def test_state_whose_weights_lack_values(fails, trained):
    net = weights.read_net_weights(trained[0])
    del next(layer for layer in net.layer if layer.name == "ip").blobs[0].data[5:]
    weights.write_binary(net, trained[0])
    fails(rf"error: {trained[0]}: layer 'ip', blob 0.* \(3, 36\) holds 5 values", "solver.prototxt",
          "--weights", trained[0])


def test_history_that_lacks_values(fails, trained):
    state = weights.read_solver_state(trained[1])
    del state.history[2].data[5:]
    weights.write_binary(state, trained[1])
    fails(rf"error: {trained[1]}: history: a blob of shape \(3, 36\) holds 5 values", "solver.prototxt",
          "--snapshot", trained[1])


# ---- while it runs

def test_loss_that_is_not_finite(fails, folder):
    fails("error: solver.prototxt: iteration [1-7]: the loss is nan: the first layer whose output "
          "isn't finite is '(conv|ip)' .*; a smaller base_lr", "solver.prototxt", "--set", "base_lr=1e30")


def test_folder_that_becomes_unwritable(run_tool, folder):
    """The snapshot's place is taken by a folder: the error names it, and nothing is half written."""
    (folder / "out" / "net_iter_8.caffemodel").mkdir(parents=True)
    result = run_tool("train", "solver.prototxt")
    errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert result.code == 1 and len(errors) == 1 and "Traceback" not in result.err
    assert "out/net_iter_8.caffemodel: can't be written: is a directory" in errors[0]
    assert [p.name for p in (folder / "out").iterdir()] == ["net_iter_8.caffemodel"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_log_on_a_full_disk(fails):
    fails("^error: /dev/full: can't be written: no space left on device$",
          "solver.prototxt", "--log", "/dev/full")


def test_label_out_of_range_later_on(fails, folder):
    """Only the last picture's label is beyond the classes: the batch that brings it stops the run."""
    data = bytearray(labels(folder).read_bytes())
    data[8:] = [0] * 19 + [7]
    labels(folder).write_bytes(data)
    edit(folder / "solver.prototxt", ("test_iter: 2", ""))
    fails(r"error: net.prototxt:17: layer 'loss' \(SoftmaxWithLoss\): label 7")


def test_picture_values_are_not_checked_but_weights_are(fails, trained, folder):
    """Weights that hold a NaN: the first layer whose output shows it is named."""
    net = weights.read_net_weights(trained[0])
    next(layer for layer in net.layer if layer.name == "conv").blobs[0].data[0] = np.nan
    weights.write_binary(net, trained[0])
    fails("iteration 0: the loss is nan: the first layer whose output isn't finite is 'conv'",
          "solver.prototxt", "--set", "test_initialization=false", "--weights", trained[0])
