"""Initialisations by name, as the fillers they mean for each kind of layer."""

from ..errors import Error, unknown
from ..proto import caffe_pb2

# name: (filler of InnerProduct, filler of Convolution, the name for layers that are left dense)
NAMES = {
    "default": (None, None, "default"),
    "orthogonal": ("orthogonal", None, "orthogonal"),
    "sao": ("sao", None, "orthogonal"),
    "ramanujan": ("ramanujan", None, "default"),
    "delta_orthogonal": ("orthogonal", "delta_orthogonal", "delta_orthogonal"),
    "sao_delta": ("sao", "sao_delta", "delta_orthogonal"),
    "eco": ("orthogonal", "eco", "eco"),
    "sao_eco": ("sao", "sao_eco", "eco"),
}
SPARSE = ("sao", "ramanujan", "sao_delta", "sao_eco")
OPTIONS = tuple(caffe_pb2.FillerParameter.DESCRIPTOR.fields_by_name)
FOR_DENSE = ("gain",)           # options that the layers left dense share


class Initialisation:
    """What the layers of a net begin with.

    name       of NAMES: "default" (what the net's author would take: `default`), "orthogonal",
               "delta_orthogonal", "eco", or of the sparse ones "sao", "ramanujan" (RG-U, RG-N),
               "sao_delta" and "sao_eco"
    default    filler type of "default"
    options    fields of the filler, such as degree or sparsity (one of them for a sparse name, none
               for a dense one), variant, values, gain, relu, structure_seed; None: not given
    Raises Error for an unknown name or option, for a sparsity that is none, and where degree and
    sparsity don't fit the name.
    """

    def __init__(self, name, default="msra", **options):
        if name not in NAMES:
            raise Error(unknown("init", name, NAMES))
        for option in options:
            if option not in OPTIONS:
                raise Error(unknown("option", option, OPTIONS))
        self.name, self.default, self.options = name, default, _given(options)
        given = [option for option in ("degree", "sparsity") if option in self.options]
        if name in SPARSE and len(given) != 1:
            raise Error(f"init '{name}' needs degree or sparsity, and not both")
        if name not in SPARSE and given:
            raise Error(f"init '{name}' is dense: {given[0]} is for {', '.join(SPARSE)}")
        if not 0 <= self.options.get("sparsity", 0) < 1:
            raise Error("sparsity must be at least 0 and less than 1, not "
                        f"{self.options['sparsity']:g}")

    @property
    def is_sparse(self):
        return self.name in SPARSE

    @property
    def is_eco(self):
        """Whether convolutions are orthogonal in the Fourier domain, and so in cyclic pictures."""
        return self.name in ("eco", "sao_eco")

    def filler(self, type_name="InnerProduct", dense=False, **options):
        """The fields of the weight_filler of a layer of that type.

        dense: one that the thesis leaves out of pruning. options: in place of the net's; None: not
        given. Raises Error for a Convolution where the initialisation is one of matrices only.
        """
        name = NAMES[self.name][2] if dense else self.name
        filler = NAMES[name][0 if type_name == "InnerProduct" else 1]
        if name == "default":
            return {"type": self.default}
        if filler is None:
            known = ", ".join(["default", *(name for name in NAMES if NAMES[name][1])])
            raise Error(f"init '{self.name}' is not for convolutions: for them are {known}")
        options = _given({**self.options, **options})
        if dense:
            options = {key: options[key] for key in FOR_DENSE if key in options}
        return {"type": filler, **options}

    def title(self, net):
        """A net's name with the initialisation after it: "MLP-50 sao degree 4"."""
        parts = [net] if self.name == "default" else [net, self.name]
        for option in "degree", "sparsity":
            if option in self.options:
                parts.append(f"{option} {self.options[option]:g}")
        return " ".join(parts)


def _given(options):
    return {key: value for key, value in options.items() if value is not None}
