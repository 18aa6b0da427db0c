import pathlib

import pytest
from hypothesis import given, settings, strategies as st

from minicaffe.errors import FileError, ParseError
from minicaffe.proto import text
from minicaffe.proto.caffe_pb2 import NetParameter, SolverParameter

NET = """\
# layer { a comment }
name: "{ a 'string' # with layer { "
layer { name: "a" type: "Input" }  # layer {
layer  # { a comment between
{
  name: "b"
  include { phase: TRAIN }
}
layer <
  name: "c" > layer { name: 'd}' }
"""


def write(tmp_path, name, contents):
    path = tmp_path / name
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return path


def test_read_net_gives_the_line_of_each_layer(tmp_path):
    path = write(tmp_path, "net.prototxt", NET)
    net, places = text.read_net(path)
    assert [layer.name for layer in net.layer] == ["a", "b", "c", "d}"]
    assert places == [f"{path}:{line}" for line in (3, 4, 9, 10)]


def test_read_net_gives_the_line_of_each_layer_in_format_v1(tmp_path):
    path = write(tmp_path, "net.prototxt", 'name: "old"\n\nlayers {\n  type: RELU\n}\nlayers { }\n')
    net, places = text.read_net(path)
    assert len(net.layers) == 2 and places == [f"{path}:3", f"{path}:6"]


def test_read_net_with_windows_line_ends_and_byte_order_mark(tmp_path):
    path = write(tmp_path, "net.prototxt", b'\xef\xbb\xbfname: "x"\r\nlayer {\r\n}\r\n')
    net, places = text.read_net(path)
    assert net.name == "x" and places == [f"{path}:2"]


def test_read_solver(tmp_path):
    path = write(tmp_path, "solver.prototxt", "base_lr: 0.01\nstepvalue: 1 stepvalue: 2\n")
    solver = text.read_solver(path)
    assert isinstance(solver, SolverParameter) and list(solver.stepvalue) == [1, 2]


@pytest.mark.parametrize("source, message", [
    ('layer {\n  convolution_param { num_outptu: 3 }\n}',
     "n:2:23: ConvolutionParameter has no field 'num_outptu'; did you mean 'num_output'?"),
    ("layer { relu_param { foo: 1 } }",
     "n:1:22: ReLUParameter has no field 'foo'; known: negative_slope, engine"),
    ("layer {\n relu_param {\n}\nlayer { }",
     "n:4:1: LayerParameter has no field 'layer'; is a } missing before it?"),
    ("layer {\n pooling_param { pool: MXA } }",
     "n:2:24: PoolingParameter.PoolMethod has no value MXA; known: MAX, AVE, STOCHASTIC"),
    ("layer { phase: 7 }", "n:1:16: Phase has no value 7; known: TRAIN, TEST"),
    ('name: "a"\nname: "b"', "n:2:7: NetParameter takes one name, this is another"),
    ('\nlayer {\n name: "x"\n', "n:3:8: the brace opened in line 2 is never closed"),
    ("layer {\n relu_param {\n", "n:2:13: the brace opened in line 2 is never closed"),
    ('layer { name: "x\n }', "n:1:15: String missing ending quote: '\"x'"),
    ("layer { } }", "n:1:11: Expected identifier or number, got }"),
    ("force_backward: maybe", 'n:1:17: Expected "true" or "false", found maybe'),
    ("layer { include: 3 }", 'n:1:18: Expected "{", found 3'),
    ("input_dim: 3.5", "n:1:12: Couldn't parse integer: 3.5"),
    ("input_dim: 99999999999", "n:1:12: Value out of range: 99999999999"),
    ("layer { loss_weight: abc }", "n:1:22: Couldn't parse float: abc"),
    ("layer { }\nlayer { clip_param { min: 1 } }",
     "n:2: the required field clip_param.max is missing"),
])
def test_errors_name_place_cause_and_way_out(source, message):
    with pytest.raises(ParseError) as error:
        text.parse(source, NetParameter, "n")
    assert str(error.value) == message


def test_required_field_outside_of_layers_is_named():
    with pytest.raises(ParseError, match=r"^n: the required field net_param\.layer\[0\]"):
        text.parse("net_param { layer { clip_param { min: 1 } } }", SolverParameter, "n")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["layer", " {", "}\n", "name", ": ", '"', "'", "3", "<", ">", "[",
                                 "]", "#", "\n", ";", "phase", "TRAIN", "\\", "x", "é", "clip_param",
                                 "min", "input_dim", "-", ",", "\r"])).map("".join))
def test_any_text_parses_or_gives_one_line(source):
    try:
        net = text.parse(source, NetParameter, "n")
    except ParseError as error:
        assert str(error).startswith("n:") and "\n" not in str(error)
    else:
        assert len(text.layer_places(source, "n")) == len(net.layer)


@pytest.mark.parametrize("contents, message", [
    (b"name: \"a\"\nlayer { name: \"\xff\" }", r"net\.prototxt:2:16: byte 0xff is not UTF-8"),
    (b"\x00\x01\x02garbage", "is a binary file, where a text file"),
    (NetParameter(layer=[dict(name="conv1", type="Convolution")]).SerializeToString(),
     "is a binary .caffemodel, where a text file"),
])
def test_files_that_hold_no_text(tmp_path, contents, message):
    path = write(tmp_path, "net.prototxt", contents)
    with pytest.raises((FileError, ParseError), match=message) as error:
        text.read_net(path)
    assert str(error.value).startswith(f"{path}:")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileError, match="none.prototxt: can't be read: no such file or directory$"):
        text.read_solver(tmp_path / "none.prototxt")
    with pytest.raises(FileError, match="can't be read: is a directory$"):
        text.read_net(tmp_path)


def test_text_is_short_and_reads_back(tmp_path):
    solver = SolverParameter(base_lr=0.01, gamma=0.0001, momentum2=0.999, net="größe.prototxt")
    assert text.to_text(solver).splitlines() == [
        "base_lr: 0.01", "gamma: 0.0001", 'net: "größe.prototxt"', "momentum2: 0.999"]
    path = tmp_path / "solver.prototxt"
    text.write(solver, path)
    assert text.read_solver(path) == solver
    assert [file.name for file in tmp_path.iterdir()] == ["solver.prototxt"]


def test_every_bundled_prototxt_parses():
    files = sorted(pathlib.Path(__file__).resolve().parents[2].glob("prototxt/**/*.prototxt"))
    for path in files:
        text.read(path, SolverParameter if "solver" in path.name else NetParameter)
