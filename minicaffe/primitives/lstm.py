"""One step of a long short-term memory without its products, forward and backward."""

import numpy as np

from ..backend import Kernels

# Entry k of the N x H belongs to sample k / H; its four gates lie H apart.
_LSTM = Kernels("lstm", """
extern "C" __global__ void step(Index count, Index H, Real *gates, const Real *cont,
                                const Real *c_before, Real *c, Real *tanh_c, Real *h)
{
    GRID_LOOP(k, count) {
        Real *gate = gates + k / H * 4 * H + k % H;
        const Real i = tanh(gate[0] / 2) / 2 + Real(0.5);
        const Real f = (tanh(gate[H] / 2) / 2 + Real(0.5)) * cont[k / H];
        const Real o = tanh(gate[2 * H] / 2) / 2 + Real(0.5), g = tanh(gate[3 * H]);
        const Real state = f * c_before[k] + i * g, bent = tanh(state);
        gate[0] = i; gate[H] = f; gate[2 * H] = o; gate[3 * H] = g;
        c[k] = state; tanh_c[k] = bent; h[k] = o * bent;
    }
}

extern "C" __global__ void step_back(Index count, Index H, const Real *gates, const Real *c_before,
                                     const Real *tanh_c, const Real *dh, Real *dc, Real *dgates)
{
    GRID_LOOP(k, count) {
        const Index at = k / H * 4 * H + k % H;
        const Real i = gates[at], f = gates[at + H], o = gates[at + 2 * H], g = gates[at + 3 * H];
        const Real bent = tanh_c[k], d = dc[k] + dh[k] * o * (1 - bent * bent);
        dgates[at] = (1 - i) * i * g * d;
        dgates[at + H] = (1 - f) * f * c_before[k] * d;
        dgates[at + 2 * H] = (1 - o) * o * bent * dh[k];
        dgates[at + 3 * H] = (1 - g * g) * i * d;
        dc[k] = d * f;
    }
}
""")


def lstm_step(xp, gates, cont, c_before, c, tanh_c, h):
    """gates (N, 4H): inputs of i, f, o, g, replaced by their values; writes c, tanh(c), h (N, H).

    f contains the factor cont (N, 1). sigmoid(x) = tanh(x / 2) / 2 + 1/2, which can't overflow.
    """
    if xp is not np:
        _LSTM("step", c.dtype, c.size, c.size, c.shape[1], gates, cont, c_before, c, tanh_c, h)
        return
    H = c.shape[1]
    sigmoids = gates[:, :3 * H]
    sigmoids *= 0.5
    xp.tanh(gates, out=gates)
    sigmoids *= 0.5
    sigmoids += 0.5
    i, f, o, g = _split(gates)
    f *= cont
    xp.multiply(i, g, out=tanh_c)
    xp.multiply(f, c_before, out=c)
    c += tanh_c
    xp.tanh(c, out=tanh_c)
    xp.multiply(o, tanh_c, out=h)


def lstm_step_back(xp, gates, c_before, tanh_c, dh, dc, dgates, work):
    """From dh and dc (N, H) to dgates (N, 4H), the gradient by the gates' inputs; dc in place.

    dc += dh o (1 - tanh(c)^2)     do' = dh tanh(c) o (1 - o)     di' = dc g i (1 - i)
    df' = dc c_before f (1 - f)    dg' = dc i (1 - g^2)           then dc = dc f, of c_before
    """
    if xp is not np:
        _LSTM("step_back", dc.dtype, dc.size, dc.size, dc.shape[1], gates, c_before, tanh_c, dh, dc,
              dgates)
        return
    (i, f, o, g), (di, df, do, dg) = _split(gates), _split(dgates)
    xp.multiply(tanh_c, tanh_c, out=work)
    xp.subtract(1, work, out=work)
    work *= o
    work *= dh
    dc += work
    for gate, dgate, *factors in (i, di, g, dc), (f, df, c_before, dc), (o, do, tanh_c, dh):
        xp.subtract(1, gate, out=dgate)
        dgate *= gate
        for factor in factors:
            dgate *= factor
    xp.multiply(g, g, out=dg)
    xp.subtract(1, dg, out=dg)
    dg *= i
    dg *= dc
    dc *= f


def _split(gates):
    H = gates.shape[1] // 4
    return [gates[:, k * H:(k + 1) * H] for k in range(4)]
