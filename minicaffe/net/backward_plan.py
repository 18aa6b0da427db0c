"""Which layers run backward, and for which bottoms (the second half of Net::Init in net.cpp)."""


class BackwardPlan:
    """need_backward[i] and bottom_need_backward[i][j] of layer i, bottom j.

    Grown by `add` as the net is built, from the first layer to the last, then finished by
    `prune`, from the last to the first.
    """

    def __init__(self, force):
        self.force = force
        self.need_backward = []
        self.bottom_need_backward = []
        self._blob_needs = {}           # blob name -> something below it is learnt

    def add(self, layer, bottom_names, top_names, lr_mults):
        """A layer needs backward if one of its parameters or bottoms is learnt from.

        propagate_down in the file overrides a bottom's own need, but alone starts nothing.
        """
        needs = [self._blob_needs[name] for name in bottom_names]
        chosen = list(layer.layer_param.propagate_down) or needs
        if len(chosen) != len(needs):
            raise layer.error(f"propagate_down is given {len(chosen)} times for {len(needs)} bottoms")
        need = any(needs) or any(lr_mults)
        self.need_backward.append(need)
        self.bottom_need_backward.append(chosen)
        for name in top_names:
            self._blob_needs[name] = need
        layer.param_propagate_down = [bool(lr) for lr in lr_mults]

    def prune(self, layers, bottom_names, top_names):
        """Leave out what no loss depends on and what leads to nothing that is learnt.

        With force_backward every layer that a loss depends on and every bottom that allows it
        takes part, whatever lr_mult is.
        """
        under_loss, skipped = set(), set()
        for i in reversed(range(len(layers))):
            contributes = any(w for w in layers[i].loss_weights) or \
                not under_loss.isdisjoint(top_names[i])
            if top_names[i] and skipped.issuperset(top_names[i]):
                self._drop(i)
            if not contributes:
                self._drop(i)
            for j, name in enumerate(bottom_names[i]):
                if contributes:
                    under_loss.add(name)
                if not self.bottom_need_backward[i][j]:
                    skipped.add(name)
        if self.force:
            for i, layer in enumerate(layers):
                self.need_backward[i] = True
                self.bottom_need_backward[i] = [
                    need or layer.allow_force_backward(j)
                    for j, need in enumerate(self.bottom_need_backward[i])]
                layer.param_propagate_down = [True] * len(layer.blobs)

    def _drop(self, i):
        self.need_backward[i] = False
        self.bottom_need_backward[i] = [False] * len(self.bottom_need_backward[i])
