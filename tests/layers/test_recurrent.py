"""LSTM, RNN, LSTMUnit: loops over steps and units, gradients, carried states, errors."""

import functools

import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.blob import Blob
from minicaffe.errors import LayerError

T, N, K, S, H = 4, 3, 5, 2, 3
CONT = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], float)


def make(kind, static=False, expose=False, cont=CONT, **options):
    """A layer of T steps of N sequences, with or without static input and exposed states."""
    states = {"LSTM": 2, "RNN": 1}[kind] if expose else 0
    shapes = [(T, N, K), (T, N)] + [(N, S)] * static + [(1, N, H)] * states
    return make_layer(kind, shapes, values={1: cont}, num_top=1 + states, num_output=H,
                      expose_hidden=expose, **options)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive(layer, bottom, initial):
    """(y, final states) of one sequence and one step at a time, in plain matrix notation."""
    kind, static = layer.type, layer.static
    weights = [blob.data for blob in layer.blobs]
    W_x, b, W_h = weights[0], weights[1], weights[2 + static]
    y, finals = np.empty((T, N, H)), []
    for n in range(N):
        state = [np.array(s[n]) for s in initial]
        for t in range(T):
            cont = bottom[1].data[t, n]
            inputs = W_x @ bottom[0].data[t, n] + b + W_h @ (cont * state[0])
            if static:
                inputs += weights[2] @ bottom[2].data[n]
            if kind == "RNN":
                state = [np.tanh(inputs)]
                y[t, n] = np.tanh(weights[-2] @ state[0] + weights[-1])
                continue
            i, f, o = (sigmoid(inputs[k * H:(k + 1) * H]) for k in range(3))
            c = cont * f * state[1] + i * np.tanh(inputs[3 * H:])
            state = [o * np.tanh(c), c]
            y[t, n] = state[0]
        finals.append(state)
    return y, [np.array([state[k] for state in finals]) for k in range(len(initial))]


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("expose", [False, True])
class TestRecurrent:
    def test_forward_equals_steps_one_by_one(self, xp, kind, static, expose):
        layer, bottom, top = make(kind, static, expose)
        initial = [blob.data[0] for blob in bottom[2 + static:]] if expose else \
            [np.zeros((N, H))] * layer.states
        y, final = naive(layer, bottom, initial)
        layer.forward(bottom, top)
        assert_allclose(top[0].data, y, rtol=1e-12)
        found = [t.data[0] for t in top[1:]] if expose else [blob.data for blob in layer.carried]
        for a, b in zip(found, final, strict=True):
            assert_allclose(a, b, rtol=1e-12)

    def test_gradient(self, xp, kind, static, expose):
        layer, bottom, top = make(kind, static, expose)
        for blob in layer.carried:
            blob.data[...] = 0.3
        check_gradient(layer, bottom, top, ignored_tops=range(1, len(top)))

    def test_diff_contract(self, xp, kind, static, expose):
        layer, bottom, top = make(kind, static, expose, cont=np.zeros((T, N)))
        first, second = [backward_once(layer, bottom, top) for _ in range(2)]
        for k, (once, twice) in enumerate(zip(first, second)):
            if once is not None:
                assert_allclose(twice, (1 if k < len(bottom) else 2) * once, rtol=1e-12)


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
class TestState:
    def test_two_passes_equal_one_of_twice_the_steps(self, xp, kind):
        layer, bottom, top = make(kind, cont=np.ones((T, N)))
        whole, inputs, output = make(kind, cont=np.ones((T, N)))
        layer.forward(bottom, top)
        first = top[0].data.copy()
        layer.forward(bottom, top)
        inputs[0].reshape(2 * T, N, K)
        inputs[0].data[...] = np.concatenate([bottom[0].data] * 2)
        inputs[1].reshape(2 * T, N)
        inputs[1].data[...] = 1
        whole.reshape(inputs, output)
        whole.forward(inputs, output)
        assert_allclose(output[0].data, np.concatenate([first, top[0].data]), rtol=1e-12)

    def test_cont_0_forgets_what_was_before(self, xp, kind):
        layer, bottom, top = make(kind, cont=np.zeros((T, N)))
        layer.forward(bottom, top)
        before = top[0].data.copy()
        for blob in layer.carried:
            blob.data[...] = 100
        layer.forward(bottom, top)
        assert_array_equal(top[0].data, before)

    def test_another_number_of_sequences_begins_anew(self, xp, kind):
        layer, bottom, top = make(kind)
        layer.forward(bottom, top)
        bottom[0].reshape(T, N - 1, K)
        bottom[1].reshape(T, N - 1)
        layer.reshape(bottom, top)
        assert not any(blob.data.any() for blob in layer.carried)
        assert top[0].shape == (T, N - 1, H)

    def test_no_gradient_enters_the_initial_states(self, xp, kind):
        layer, bottom, top = make(kind, expose=True)
        wanted = [i != 1 for i in range(len(bottom))]
        diffs = backward_once(layer, bottom, top, wanted)
        assert not any(diff.any() for diff in diffs[2:len(bottom)])
        assert not any(layer.allow_force_backward(i) for i in range(1, len(bottom)))

    def test_parameters_that_are_not_learnt_get_no_gradient(self, xp, kind):
        layer, bottom, top = make(kind, static=True)
        layer.param_propagate_down = [False] * len(layer.blobs)
        diffs = backward_once(layer, bottom, top, [False] * 3)
        assert not any(diff.any() for diff in diffs[3:])


def test_long_sequences_stay_finite(xp):
    layer, bottom, top = make("LSTM", dtype=np.float32)
    bottom[0].data[...] *= 1e4
    with np.errstate(over="raise", invalid="raise"):
        backward_once(layer, bottom, top)
    assert np.isfinite(top[0].data).all()


def test_debug_info_tells_each_step(xp, caplog):
    layer, bottom, top = make("RNN", debug_info=True)
    with caplog.at_level("INFO", "minicaffe"):
        layer.forward(bottom, top)
    assert len(caplog.records) == T and "step 3" in caplog.text
    assert layer.needs_host and not make("RNN")[0].needs_host       # a CUDA graph can't log


class TestLSTMUnit:
    make = staticmethod(functools.partial(make_layer, "LSTMUnit", [(1, N, H), (1, N, 4 * H), (1, N)],
                                          values={2: [[1, 0, 1]]}, num_top=2))

    def test_forward_equals_one_step(self, xp):
        layer, bottom, top = self.make()
        layer.forward(bottom, top)
        for n in range(N):
            i, f, o, g = bottom[1].data[0, n].reshape(4, H)
            c = bottom[2].data[0, n] * sigmoid(f) * bottom[0].data[0, n] + sigmoid(i) * np.tanh(g)
            assert_allclose(top[0].data[0, n], c, rtol=1e-12)
            assert_allclose(top[1].data[0, n], sigmoid(o) * np.tanh(c), rtol=1e-12)

    def test_gradient(self, xp):
        check_gradient(*self.make())

    @pytest.mark.parametrize("shapes, what", [
        ([(2, N, H), (2, N, 4 * H), (2, N)], r"bottom\[0\].*\(1, N, H\)"),
        ([(1, N, H), (1, N, 3 * H), (1, N)], r"bottom\[1\].*\(1, 3, 12\)"),
        ([(1, N, H), (1, N, 4 * H), (1, N + 1)], r"bottom\[2\].*\(1, 3\)")])
    def test_shapes_that_clash(self, shapes, what):
        with pytest.raises(LayerError, match="LSTMUnit.*" + what):
            make_layer("LSTMUnit", shapes, num_top=2)


@pytest.mark.parametrize("shapes, fields, what", [
    ([(T, N, K), (T, N)], {}, "num_output must be positive, not 0"),
    ([(T,), (T, N)], {"num_output": H}, r"bottom\[0\] needs at least two axes"),
    ([(T, N, K), (T, N + 1)], {"num_output": H}, r"cont.*\(4, 4\).*must be \(4, 3\)"),
    ([(T, N, K), (T, N), (N + 1, S)], {"num_output": H}, r"static.*\(4, 2\).*3 x 2"),
    ([(T, N, K), (T, N), (N,)], {"num_output": H}, r"bottom\[2\] needs at least two axes"),
    ([(T, N, K), (T, N), (1, N, H), (1, N, K)], {"num_output": H, "expose_hidden": True},
     r"bottom\[3\] \(initial state\).*\(1, 3, 3\)"),
    ([(T, N, K), (T, N)], {"num_output": H, "expose_hidden": True}, "takes 4 to 5 bottom"),
])
def test_bad_input(shapes, fields, what):
    with pytest.raises(LayerError, match="'layer'.*LSTM.*" + what):
        make_layer("LSTM", shapes, num_top=3 if "expose_hidden" in fields else 1, **fields)


def test_a_bottom_that_no_longer_fits():
    layer, bottom, top = make("RNN")
    bottom[0] = Blob((T, N, K + 1), np.float64)
    with pytest.raises(LayerError, match=r"6 inputs a step do not fit weights \(3, 5\)"):
        layer.reshape(bottom, top)
