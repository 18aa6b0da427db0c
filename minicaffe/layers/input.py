"""Sources without files: Input (the user writes the blobs) and DummyData (fillers do)."""

from ..fillers import fill
from .base import Layer, register_layer


class Source(Layer):
    """No bottoms, any number of tops whose shapes setup gives; they may be reshaped later."""

    num_bottom, num_top = 0, (1, None)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        pass

    def one_each(self, field, given, top):
        """`given`, once for each top: the file gives it once for all tops, or once a top."""
        given = list(given)
        if len(given) not in (1, len(top)):
            raise self.error(f"{field} is given {len(given)} times for {len(top)} tops: give it "
                             "once, or once a top")
        return given if len(given) == len(top) else given * len(top)


@register_layer("Input")
class Input(Source):
    """Blobs that the user writes before forward.

    top[i]  shape i of input_param (one for all tops, or one a top), or () if there is none
    Forward does nothing. A later `net.blobs[name].reshape(...)` is kept.
    Source: input_layer.cpp.
    """

    message = "input_param"

    def setup(self, bottom, top):
        if self.param.shape:
            for t, shape in zip(top, self.one_each("shape", self.param.shape, top)):
                t.reshape(shape.dim)


@register_layer("DummyData")
class DummyData(Source):
    """Blobs that fillers write.

    top[i]  shape i (or the older num x channels x height x width), filled by data_filler i; each
            may be given once for all tops or once a top; without data_filler, zeros
    Constant tops are filled once, in setup; the others are drawn anew in every forward.
    Source: dummy_data_layer.cpp.
    """

    message = "dummy_data_param"
    needs_host = True            # its numbers are drawn there

    def setup(self, bottom, top):
        p = self.param
        for t, shape in zip(top, self._shapes(top)):
            t.reshape(shape)
        fillers = self.one_each("data_filler", p.data_filler, top) if p.data_filler else []
        self.refilled = [(i, f) for i, f in enumerate(fillers) if f.type != "constant"]
        for t, filler in zip(top, fillers):
            fill(t, filler, self.rng, self.error)

    def _shapes(self, top):
        p, older = self.param, ("num", "channels", "height", "width")
        if p.shape:
            if any(getattr(p, field) for field in older):
                raise self.error("give shape or num, channels, height and width, not both")
            return [shape.dim for shape in self.one_each("shape", p.shape, top)]
        return list(zip(*(self.one_each(field, getattr(p, field), top) for field in older)))

    def forward(self, bottom, top):
        for i, filler in self.refilled:
            fill(top[i], filler, self.rng, self.error)
