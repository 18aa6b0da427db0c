"""Layers with a hidden state: LSTM, RNN, and LSTMUnit, one step of an LSTM."""

import logging

import numpy as np

from ..blob import Blob
from ..primitives.channels import add_bias, add_sums
from ..primitives.gemm import add_matmul, matmul
from ..primitives.lstm import lstm_step, lstm_step_back
from .base import Layer, register_layer

log = logging.getLogger("minicaffe")


class Recurrent(Layer):
    """What LSTM and RNN share: N sequences side by side, T steps of each in one pass.

    K = bottom[0].count(2), H = num_output, G the rows of the gates (LSTM: 4 H, RNN: H):
    bottom[0]  x     T x N x K         blobs[0]  W_x       (G, K)
    bottom[1]  cont  T x N             blobs[1]  b         (G,)
    bottom[2]  s     N x S, optional   then      W_static  (G, S)   if there is s
    top[0]     y     T x N x H         then      W_h       (G, H)
    cont is 0 where a new sequence begins (the state before counts as zero), else 1. The state
    after step T is where the next forward pass begins. With expose_hidden it doesn't carry over:
    initial states are the last bottoms, final ones the last tops, each 1 x N x H.

    All steps' inputs to the gates, P_t = W_x x_t + b + W_static s, are one product; each step adds
    W_h (cont_t h_{t-1}). From their gradients p_t, as one product over all steps each:
        dW_x += sum p_t x_t^T     dW_h += sum p_t (cont_t h_{t-1})^T     db += sum p_t
        dW_static += (sum p_t) s^T     dx_t = W_x^T p_t     ds = W_static^T sum p_t
    and dh_{t-1} gets cont_t W_h^T p_t. As in Caffe no gradient goes to cont or to the initial
    states (theirs is set to 0), and top diffs of the final states are not looked at.
    Source: recurrent_layer.cpp, where the net is unrolled; here T may change between passes.

    A subclass gives recur(cont, initial, final, y), all steps from self.p and initial states to y
    (T, N, H) and the final states, and recur_back(cont, top), all steps backwards to self.dp, the
    gradients by the gates' inputs.
    """

    message = "recurrent_param"
    states = 1                   # arrays that make up the hidden state
    gates = 1                    # G / H

    @property
    def num_bottom(self):
        least = 2 + self.param.expose_hidden * self.states
        return least, least + 1

    @property
    def num_top(self):
        return 1 + self.param.expose_hidden * self.states

    def setup(self, bottom, top):
        p = self.param
        self.H, self.G = p.num_output, self.gates * p.num_output
        self.static = len(bottom) == self.num_bottom[1]
        if self.H < 1:
            raise self.error(f"recurrent_param's num_output must be positive, not {self.H}")
        self._check_axes(bottom)
        self.add_blob((self.G, bottom[0].count(2)), p.weight_filler)
        self.add_blob((self.G,), p.bias_filler)
        if self.static:
            self.add_blob((self.G, bottom[2].count(1)), p.weight_filler)
        self.W_h = self.add_blob((self.G, self.H), p.weight_filler)
        self.needs_host = p.debug_info                             # forward logs numbers then
        if not p.expose_hidden:
            self.carried = [Blob((0, self.H), self.dtype) for _ in range(self.states)]

    def _check_axes(self, bottom):
        for i in (0, 2) if self.static else (0,):
            if bottom[i].num_axes < 2:
                raise self.error(f"bottom[{i}] needs at least two axes "
                                 f"({'N' if i else 'T, N'} ...), its shape is {bottom[i].shape}")

    def reshape(self, bottom, top):
        self._check_axes(bottom)
        T, N = self.T, self.N = bottom[0].shape[:2]
        self._check_shapes(bottom)
        top[0].reshape(T, N, self.H)
        for blob in top[1:]:
            blob.reshape(1, N, self.H)
        for blob in self.carried:
            if blob.shape != (N, self.H):
                blob.reshape(N, self.H)
                blob.data.fill(0)
        self.p = self.xp.empty((T, N, self.G), self.dtype)         # gates, then their gradients
        self.dp = self.xp.empty((T, N, self.G), self.dtype)
        self.before = self.xp.empty((T, N, self.H), self.dtype)    # cont_t h_{t-1}
        self.step = self.xp.empty((N, self.G), self.dtype)
        self.dh, self.work = self.xp.empty((2, N, self.H), self.dtype)
        self.sum = self.xp.empty((N, self.G), self.dtype)
        self.products = [np.empty(blob.shape, self.dtype) if self.xp is np else None
                         for blob in self.blobs]

    def _check_shapes(self, bottom):
        T, N = self.T, self.N
        if bottom[0].count(2) != self.blobs[0].shape[1]:
            raise self.error(f"{bottom[0].count(2)} inputs a step do not fit weights "
                             f"{self.blobs[0].shape}")
        if bottom[1].shape != (T, N):
            raise self.error(f"bottom[1] (cont) has shape {bottom[1].shape}, it must be {(T, N)} "
                             f"as bottom[0] is {bottom[0].shape}")
        if self.static and (bottom[2].shape[0], bottom[2].count(1)) != (N, self.blobs[2].shape[1]):
            raise self.error(f"bottom[2] (static) has shape {bottom[2].shape}, it must hold "
                             f"{N} x {self.blobs[2].shape[1]}")
        for i in range(2 + self.static, len(bottom)):
            if bottom[i].shape != (1, N, self.H):
                raise self.error(f"bottom[{i}] (initial state) has shape {bottom[i].shape}, "
                                 f"it must be {(1, N, self.H)}")

    def allow_force_backward(self, bottom_index):
        return bottom_index == 0 or (bottom_index == 2 and self.static)

    def forward(self, bottom, top):
        flat = self.p.reshape(-1, self.G)                          # T N x G
        matmul(self.xp, self._flat(bottom[0].data), self.blobs[0].data.T, out=flat)
        add_bias(self.xp, flat, self.blobs[1].data)
        if self.static:
            s = bottom[2].data.reshape(self.N, -1)
            matmul(self.xp, s, self.blobs[2].data.T, out=self.step)
            self.p += self.step
        cont = bottom[1].data[:, :, None]                          # T x N x 1
        if self.param.expose_hidden:
            initial = [blob.data[0] for blob in bottom[2 + self.static:]]
            self.recur(cont, initial, [blob.data[0] for blob in top[1:]], top[0].data)
        else:
            state = [blob.data for blob in self.carried]
            self.recur(cont, state, state, top[0].data)
        if self.param.debug_info:
            for t, y in enumerate(top[0].data):
                log.info("    [Forward] Layer %s, step %d data: %g", self.name, t,
                         float(abs(y).sum()) / max(1, y.size))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[1]:
            raise self.error("there is no gradient by bottom[1] (cont)")
        self.recur_back(bottom[1].data[:, :, None], top[0])
        dp = self.dp.reshape(-1, self.G)
        self.add_product(0, dp, self._flat(bottom[0].data))
        if self.param_propagate_down[1]:
            add_sums(self.xp, dp, self.blobs[1].diff)
        if self.static:
            self.dp.sum(axis=0, out=self.sum)
            self.add_product(2, self.sum, bottom[2].data.reshape(self.N, -1))
            if propagate_down[2]:
                matmul(self.xp, self.sum, self.blobs[2].data,
                       out=bottom[2].diff.reshape(self.N, -1))
        self.add_product(2 + self.static, dp, self.before.reshape(-1, self.H))
        if propagate_down[0]:
            matmul(self.xp, dp, self.blobs[0].data, out=self._flat(bottom[0].diff))
        for i in range(2 + self.static, len(bottom)):
            if propagate_down[i]:
                bottom[i].diff.fill(0)

    def add_hidden(self, t, cont, h):
        """self.p[t] += W_h (cont_t h): the gates' inputs are complete."""
        self.xp.multiply(h, cont[t], out=self.before[t])
        add_matmul(self.xp, self.before[t], self.W_h.data.T, self.p[t], self.step)

    def back_to_hidden(self, t, cont):
        """self.dh = cont_t W_h^T p_t: what step t hands to dh_{t-1}."""
        matmul(self.xp, self.dp[t], self.W_h.data, out=self.dh)
        self.dh *= cont[t]

    def add_product(self, k, dy, x):
        """blobs[k].diff += dy^T x."""
        if self.param_propagate_down[k]:
            add_matmul(self.xp, dy.T, x, self.blobs[k].diff, self.products[k])

    def _flat(self, a):
        return a.reshape(self.T * self.N, -1)


@register_layer("LSTM")
class LSTM(Recurrent):
    """Long short-term memory; bottoms, tops and blobs as in Recurrent, states h and c (in order).

    G = 4 H rows of the gates' inputs, in the order i, f, o, g (each H):
    forward:   i, f, o = sigmoid, g = tanh of them     c_t = cont_t f c_{t-1} + i g
               y_t = h_t = o tanh(c_t)
    backward:  see lstm_step_back; dh_t = dy_t + what step t + 1 hands back
    Source: lstm_layer.cpp; Hochreiter and Schmidhuber 1997; Zaremba and Sutskever,
    arXiv:1410.4615, whose equations these are.
    """

    states, gates = 2, 4

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.c = self.xp.empty((self.T + 1, self.N, self.H), self.dtype)     # c[0]: initial
        self.tanh_c = self.xp.empty((self.T, self.N, self.H), self.dtype)
        self.dc = self.xp.empty((self.N, self.H), self.dtype)

    def recur(self, cont, initial, final, y):
        h, self.c[0] = initial
        for t in range(self.T):
            self.add_hidden(t, cont, h)
            lstm_step(self.xp, self.p[t], cont[t], self.c[t], self.c[t + 1], self.tanh_c[t], y[t])
            h = y[t]
        final[0][...], final[1][...] = h, self.c[self.T]

    def recur_back(self, cont, top):
        self.dh.fill(0)
        self.dc.fill(0)
        for t in reversed(range(self.T)):
            self.dh += top.diff[t]
            lstm_step_back(self.xp, self.p[t], self.c[t], self.tanh_c[t], self.dh, self.dc,
                           self.dp[t], self.work)
            self.back_to_hidden(t, cont)


@register_layer("RNN")
class RNN(Recurrent):
    """Plain recurrent net with an output layer; bottoms and tops as in Recurrent, state h.

    blobs: those of Recurrent (G = H), then W_o (H, H), b_o (H,)
    forward:   h_t = tanh(P_t + W_h cont_t h_{t-1})     y_t = tanh(W_o h_t + b_o)
    backward:  q_t = dy_t (1 - y_t^2)     dW_o += sum q_t h_t^T     db_o += sum q_t
               dh_t = W_o^T q_t + what step t + 1 hands back     p_t = dh_t (1 - h_t^2)
    Source: rnn_layer.cpp.
    """

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.add_blob((self.H, self.H), self.param.weight_filler)
        self.add_blob((self.H,), self.param.bias_filler)

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.q = self.xp.empty((self.T * self.N, self.H), self.dtype)
        self.dhs = self.xp.empty((self.T, self.N, self.H), self.dtype)

    def recur(self, cont, initial, final, y):
        h = initial[0]
        for t in range(self.T):
            self.add_hidden(t, cont, h)
            h = self.xp.tanh(self.p[t], out=self.p[t])
        final[0][...] = h
        W_o, b_o = self.blobs[-2:]
        flat = self._flat(y)
        matmul(self.xp, self._flat(self.p), W_o.data.T, out=flat)
        add_bias(self.xp, flat, b_o.data)
        self.xp.tanh(flat, out=flat)

    def recur_back(self, cont, top):
        last, y = len(self.blobs) - 1, self._flat(top.data)
        self.xp.multiply(y, y, out=self.q)
        self.xp.subtract(1, self.q, out=self.q)
        self.q *= self._flat(top.diff)
        self.add_product(last - 1, self.q, self._flat(self.p))
        if self.param_propagate_down[last]:
            add_sums(self.xp, self.q, self.blobs[last].diff)
        matmul(self.xp, self.q, self.blobs[last - 1].data, out=self._flat(self.dhs))
        self.dh.fill(0)
        for t in reversed(range(self.T)):
            self.dhs[t] += self.dh
            self.xp.multiply(self.p[t], self.p[t], out=self.dp[t])
            self.xp.subtract(1, self.dp[t], out=self.dp[t])
            self.dp[t] *= self.dhs[t]
            self.back_to_hidden(t, cont)


@register_layer("LSTMUnit")
class LSTMUnit(Layer):
    """One step of an LSTM without its products.

    bottom[0]  c'    1 x N x H    state before     top[0]  c  1 x N x H    state after
    bottom[1]  p     1 x N x 4H   gates' inputs    top[1]  h  1 x N x H    output
    bottom[2]  cont  1 x N        0 or 1
    forward and backward as in LSTM, one step; no gradient goes to cont.
    Source: lstm_unit_layer.cpp.
    """

    num_bottom, num_top = 3, 2

    def reshape(self, bottom, top):
        c, p, cont = (blob.shape for blob in bottom)
        if len(c) != 3 or c[0] != 1:
            raise self.error(f"bottom[0] (c) has shape {c}, it must be (1, N, H)")
        for name, shape, wanted in ("bottom[1] (gates)", p, (1, c[1], 4 * c[2])), \
                ("bottom[2] (cont)", cont, c[:2]):
            if shape != wanted:
                raise self.error(f"{name} has shape {shape}, it must be {wanted} as bottom[0] is {c}")
        top[0].reshape(c)
        top[1].reshape(c)
        self.gates = self.xp.empty(p[1:], self.dtype)
        self.tanh_c, self.dc, self.work = self.xp.empty((3, *c[1:]), self.dtype)
        self.dgates = self.xp.empty(p[1:], self.dtype)

    def allow_force_backward(self, bottom_index):
        return bottom_index != 2

    def forward(self, bottom, top):
        self.gates[...] = bottom[1].data[0]
        lstm_step(self.xp, self.gates, bottom[2].data[0][:, None], bottom[0].data[0],
                  top[0].data[0], self.tanh_c, top[1].data[0])

    def backward(self, top, propagate_down, bottom):
        if propagate_down[2]:
            raise self.error("there is no gradient by bottom[2] (cont)")
        self.dc[...] = top[0].diff[0]
        lstm_step_back(self.xp, self.gates, bottom[0].data[0], self.tanh_c, top[1].diff[0],
                       self.dc, self.dgates, self.work)
        if propagate_down[0]:
            bottom[0].diff[0] = self.dc
        if propagate_down[1]:
            bottom[1].diff[0] = self.dgates
