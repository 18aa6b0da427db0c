import os
import subprocess
import sys
import textwrap
import traceback

import numpy as np
import pytest
from helpers import check_gradient
from net_helpers import build, inputs, layer
from numpy.testing import assert_allclose

from minicaffe.blob import Blob
from minicaffe.errors import LayerError
from minicaffe.layers import layer_type_list
from minicaffe.layers.python_layer import python_layer_class
from minicaffe.proto import caffe_pb2

SOURCE = '''
import numpy as np
import minicaffe as caffe
from minicaffe import Layer

class Power(caffe.Layer):
    """y = sum of the bottoms, to the power of param_str."""

    def setup(self, bottom, top):
        self.n = int(self.param_str)
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = 1

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data * sum(b.data for b in bottom) ** self.n

    def backward(self, top, propagate_down, bottom):
        total = sum(b.data for b in bottom)
        self.blobs[0].diff[...] += (top[0].diff * total ** self.n).sum()
        for b, wanted in zip(bottom, propagate_down):
            if wanted:
                b.diff[...] = top[0].diff * self.blobs[0].data * self.n * total ** (self.n - 1)

class TwoBottoms(Power):
    num_bottom = 2

class OnTheHost(caffe.Layer):
    """y = sin(x), by NumPy wherever blobs live."""

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data = np.sin(caffe.to_numpy(bottom[0].data))

    def backward(self, top, propagate_down, bottom):
        x, dy = caffe.to_numpy(bottom[0].data), caffe.to_numpy(top[0].diff)
        bottom[0].diff = np.cos(x) * dy

class Broken(caffe.Layer):
    def setup(self, bottom, top):
        raise ValueError("the user's own mistake")

class NoLayer:
    pass
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module with SOURCE, in the current directory; it and the path are forgotten."""
    name = "user_layers_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    for loaded in [m for m in sys.modules if m.startswith("user_layers_")]:
        del sys.modules[loaded]


def param_of(module, layer, param_str=""):
    return caffe_pb2.LayerParameter(
        name="mine", type="Python", bottom=["a", "b"],
        python_param=dict(module=module, layer=layer, param_str=param_str))


def make(module, layer, num_bottom=2, param_str="3"):
    param = param_of(module, layer, param_str)
    bottom = [Blob((3, 4), np.float64) for _ in range(num_bottom)]
    for i, b in enumerate(bottom):
        b.data[...] = np.random.default_rng(i).normal(size=b.shape)
    top = [Blob((), np.float64)]
    made = python_layer_class(param)(param, dtype=np.float64, place="net.prototxt:7")
    made.set_up(bottom, top)
    return made, bottom, top


@pytest.mark.parametrize("num_bottom", [1, 2, 3])
def test_a_users_class_runs_with_any_number_of_bottoms(module, num_bottom):
    layer, bottom, top = make(module, "Power", num_bottom)
    layer.forward(bottom, top)
    assert_allclose(top[0].data, sum(b.data for b in bottom) ** 3, rtol=1e-14)
    names = [result.blob for result in check_gradient(layer, bottom, top)]
    assert names == ["weights 0", "a", "b", "bottom 2"][:num_bottom + 1]
    assert layer.type == "Python" and layer.reshape_always


@pytest.mark.parametrize("name, y, dx", [("Power", lambda x: x**3, lambda x: 3 * x**2),
                                         ("OnTheHost", np.sin, np.cos)])
def test_a_net_runs_a_users_class_that_computes_on_the_device_or_fetches(module, name, y, dx):
    fields = f'python_param {{ module: "{module}" layer: "{name}" param_str: "3" }}'
    net = build("force_backward: true " + inputs(x=(2, 3)) + layer("y", "Python", "x", more=fields))
    x, dy = np.random.default_rng(0).normal(size=(2, 2, 3))
    assert_allclose(net.forward(x=x)["y"], y(x), rtol=1e-14)
    assert_allclose(net.backward(y=dy)["x"], dx(x) * dy, rtol=1e-14)


def test_the_users_own_limits_hold(module):
    make(module, "TwoBottoms", 2)
    with pytest.raises(LayerError, match=r"^net.prototxt:7: layer 'mine' \(Python\): takes 2"):
        make(module, "TwoBottoms", 3)


def test_the_users_exception_comes_through_with_its_traceback(module):
    with pytest.raises(ValueError, match="the user's own mistake") as caught:
        make(module, "Broken")
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].filename.endswith(f"{module}.py") and frames[-1].name == "setup"


def test_a_missing_module(module):
    with pytest.raises(LayerError, match="there is no module 'no_such_file' on the Python path"):
        python_layer_class(param_of("no_such_file", "Power"))
    with pytest.raises(LayerError, match="there is no module 'no_such_package.layers'"):
        python_layer_class(param_of("no_such_package.layers", "Power"))


def test_a_missing_class(module):
    with pytest.raises(LayerError, match="has no class 'Pover': its layers are Power, TwoBott"):
        python_layer_class(param_of(module, "Pover"))


@pytest.mark.parametrize("name", ["NoLayer", "np", "Layer"])
def test_a_class_that_is_no_layer(module, name):
    with pytest.raises(LayerError, match=f"'{name}' of module .* is not a subclass"):
        python_layer_class(param_of(module, name))


@pytest.mark.parametrize("fields", [{}, {"module": "a"}, {"layer": "b"}])
def test_missing_fields(fields):
    param = caffe_pb2.LayerParameter(type="Python", python_param=fields)
    with pytest.raises(LayerError, match="python_param needs module .* and layer"):
        python_layer_class(param)


def test_what_the_module_itself_fails_to_import_is_not_hidden(module, tmp_path):
    (tmp_path / f"{module}_b.py").write_text("import no_such_dependency\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        python_layer_class(param_of(f"{module}_b", "Power"))
    (tmp_path / f"{module}_c.py").write_text("def broken(:\n")
    with pytest.raises(SyntaxError):
        python_layer_class(param_of(f"{module}_c", "Power"))


def test_the_type_is_listed():
    assert "Python" in layer_type_list()


def test_the_current_directory_is_searched_by_a_script_that_lies_elsewhere(module, tmp_path):
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(textwrap.dedent(f"""
        from minicaffe.layers.python_layer import python_layer_class
        from minicaffe.proto import caffe_pb2
        p = caffe_pb2.LayerParameter(python_param=dict(module="{module}", layer="Power"))
        print(python_layer_class(p).__name__)
    """))
    package = os.path.dirname(os.path.dirname(sys.modules["minicaffe"].__file__))
    result = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": package})
    assert result.stdout == "Power\n", result.stderr
