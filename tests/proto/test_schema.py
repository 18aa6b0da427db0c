"""caffe.proto and caffe_pb2.py belong together, and both hold Caffe's own names and numbers."""

import hashlib
import importlib.util
import pathlib
import re
import sys

import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from minicaffe.proto import caffe_pb2

PROTO = pathlib.Path(caffe_pb2.__file__).with_name("caffe.proto")
GENERATED = pathlib.Path(caffe_pb2.__file__)
COMPILER = pathlib.Path(__file__).resolve().parents[2] / "tools" / "compile_proto.py"
STATEMENT = re.compile(r"""message\s+(?P<message>\w+)\s*\{ | enum\s+(?P<enum>\w+)\s*\{ | (?P<close>\})
    | (?P<label>optional|required|repeated)\s+(?P<type>\w+)\s+(?P<field>\w+)\s*=\s*(?P<number>\d+)
      \s*(?:\[(?P<options>[^\]]*)\])?\s*;
    | (?P<value>\w+)\s*=\s*(?P<of>\d+)\s*; | syntax.*?; | package.*?;""", re.VERBOSE)
LABELS = {1: "optional", 2: "required", 3: "repeated"}


def facts_of_text(text):
    """Every field and enum value of caffe.proto as {dotted name: facts}, read without protobuf."""
    text = re.sub(r"//.*", "", text)
    facts, scope, end = {}, [], 0
    for match in STATEMENT.finditer(text):
        assert not text[end:match.start()].strip(), f"not understood: {text[end:match.start()]!r}"
        end = match.end()
        if match["message"] or match["enum"]:
            scope.append(match["message"] or match["enum"])
        elif match["close"]:
            scope.pop()
        elif match["field"]:
            facts[".".join(scope + [match["field"]])] = field_facts(match)
        elif match["value"]:
            facts[".".join(scope + [match["value"]])] = int(match["of"])
    assert not text[end:].strip() and not scope
    return facts


def field_facts(match):
    options = dict(re.findall(r"(\w+)\s*=\s*([^,]+)", match["options"] or ""))
    packed = options.get("packed", "false").strip() == "true"
    default = options["default"].strip().strip('"') if "default" in options else None
    return match["label"], match["type"], int(match["number"]), default, packed


def facts_of_descriptor():
    """The same, out of the compiled schema."""
    file = FileDescriptorProto.FromString(caffe_pb2.DESCRIPTOR.serialized_pb)
    facts = {}
    for enum in file.enum_type:
        facts.update({f"{enum.name}.{value.name}": value.number for value in enum.value})
    for message in file.message_type:
        for enum in message.enum_type:
            facts.update({f"{message.name}.{enum.name}.{value.name}": value.number
                          for value in enum.value})
        for f in message.field:
            kind = f.type_name.split(".")[-1] if f.type_name else f.Type.Name(f.type)[5:].lower()
            default = f.default_value if f.HasField("default_value") else None
            facts[f"{message.name}.{f.name}"] = (
                LABELS[f.label], kind, f.number, default, f.options.packed)
    return facts


def comparable(facts):
    """Facts with numeric defaults as float32: 1e-8, 1e-08 and 9.99999994e-09 are the same."""
    if isinstance(facts, tuple) and facts[1] == "float" and facts[3] is not None:
        return facts[:3] + (np.float32(facts[3]),) + facts[4:]
    return facts


def test_generated_file_holds_every_field_of_the_text():
    text, compiled = facts_of_text(PROTO.read_text("utf-8")), facts_of_descriptor()
    assert len(text) > 500
    assert {name: comparable(facts) for name, facts in text.items()} == {
        name: comparable(facts) for name, facts in compiled.items()}


def test_generated_file_names_the_hash_of_the_text():
    digest = hashlib.sha256(PROTO.read_bytes()).hexdigest()
    assert f"# caffe.proto sha256: {digest}\n" in GENERATED.read_text("utf-8")


def load_compiler():
    spec = importlib.util.spec_from_file_location("compile_proto", COMPILER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_file_is_what_the_compiler_writes():
    compiler = load_compiler()
    if not compiler.compiler_is_here():
        pytest.skip("the pinned grpcio-tools is not installed; the hash is compared all the same")
    assert compiler.compile_proto(PROTO) == GENERATED.read_text("utf-8")


@pytest.mark.parametrize("version, words", [((3, 11), ""), ((3, 13), ": it needs Python 3.11 or older")])
def test_a_compiler_that_can_not_be_installed(monkeypatch, capfd, version, words):
    """One line, without pip's own."""
    def fail(folder):
        folder = pathlib.Path(folder)
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").write_text("#!/bin/sh\necho pip complains >&2\nexit 1\n")
        (folder / "bin" / "python").chmod(0o755)

    compiler = load_compiler()
    monkeypatch.setattr(compiler, "compiler_is_here", lambda: False)
    monkeypatch.setattr(compiler.venv, "create", lambda folder, with_pip: fail(folder))
    monkeypatch.setattr(sys, "version_info", version)
    message = f"-m pip install ... failed with grpcio-tools {compiler.GRPC_TOOLS}{words}"
    with pytest.raises(SystemExit, match=re.escape(message) + "$"):
        compiler.main(["--check"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name, facts", [
    ("BlobProto.data", ("repeated", "float", 5, None, True)),
    ("BlobProto.num", ("optional", "int32", 1, "0", False)),
    ("BlobShape.dim", ("repeated", "int64", 1, None, True)),
    ("Datum.label", ("optional", "int32", 5, None, False)),
    ("Datum.float_data", ("repeated", "float", 6, None, False)),
    ("NetParameter.layer", ("repeated", "LayerParameter", 100, None, False)),
    ("NetParameter.layers", ("repeated", "V1LayerParameter", 2, None, False)),
    ("SolverParameter.test_iter", ("repeated", "int32", 3, None, False)),
    ("SolverParameter.random_seed", ("optional", "int64", 20, "-1", False)),
    ("SolverParameter.delta", ("optional", "float", 31, "1e-8", False)),
    ("SolverParameter.layer_wise_reduce", ("optional", "bool", 41, "true", False)),
    ("SolverParameter.weights", ("repeated", "string", 42, None, False)),
    ("SolverParameter.SolverMode.GPU", 1),
    ("SolverParameter.SnapshotFormat.HDF5", 0),
    ("SolverState.history", ("repeated", "BlobProto", 3, None, False)),
    ("NetState.phase", ("optional", "Phase", 1, "TEST", False)),
    ("LayerParameter.loss_param", ("optional", "LossParameter", 101, None, False)),
    ("LayerParameter.convolution_param", ("optional", "ConvolutionParameter", 106, None, False)),
    ("LayerParameter.python_param", ("optional", "PythonParameter", 130, None, False)),
    ("LayerParameter.batch_norm_param", ("optional", "BatchNormParameter", 139, None, False)),
    ("LayerParameter.recurrent_param", ("optional", "RecurrentParameter", 146, None, False)),
    ("LayerParameter.swish_param", ("optional", "SwishParameter", 147, None, False)),
    ("LayerParameter.clip_param", ("optional", "ClipParameter", 148, None, False)),
    ("ClipParameter.min", ("required", "float", 1, None, False)),
    ("LossParameter.normalization", ("optional", "NormalizationMode", 3, "VALID", False)),
    ("LossParameter.NormalizationMode.BATCH_SIZE", 2),
    ("ConvolutionParameter.dilation", ("repeated", "uint32", 18, None, False)),
    ("DataParameter.DB.LMDB", 1),
    ("EltwiseParameter.EltwiseOp.SUM", 1),
    ("PoolingParameter.PoolMethod.AVE", 1),
    ("PoolingParameter.round_mode", ("optional", "RoundMode", 13, "CEIL", False)),
    ("LRNParameter.alpha", ("optional", "float", 2, "1", False)),
    ("MVNParameter.eps", ("optional", "float", 3, "1e-9", False)),
    ("V1LayerParameter.LayerType.CONVOLUTION", 4),
    ("V1LayerParameter.param", ("repeated", "string", 1001, None, False)),
    ("V0LayerParameter.kernelsize", ("optional", "uint32", 8, None, False)),
])
def test_facts_of_the_original_caffe(name, facts):
    assert facts_of_text(PROTO.read_text("utf-8"))[name] == facts


def test_our_own_fields_are_marked_and_numbered_from_10000():
    lines, marked, ours = PROTO.read_text("utf-8").splitlines(), False, []
    for line in lines:
        number = re.search(r"= (\d+)(?: \[.*\])?;", line)
        if number and int(number[1]) >= 10000:
            ours.append(line.split("=")[0].split()[-1])
            assert "minicaffe" in line or marked or re.match(r"\s+[A-Z]+ =", line), line
        marked = "minicaffe" in line or (marked and not number and line.strip().startswith("//"))
    assert {"mask", "shuffle", "split", "pad", "layer_state", "random_seed", "IDX"} <= set(ours)


def test_unknown_own_fields_do_not_disturb_a_reader_without_them():
    """What the original Caffe sees of our BlobProto: the same data, the mask skipped."""
    blob = caffe_pb2.BlobProto(data=[1, 2], mask=b"\x80")
    blob.shape.dim.append(2)
    stripped = caffe_pb2.BlobProto.FromString(blob.SerializeToString())
    stripped.ClearField("mask")
    assert blob.SerializeToString().startswith(stripped.SerializeToString())
