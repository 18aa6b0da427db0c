"""Initialisations by name."""

import pytest

from minicaffe.errors import Error
from minicaffe.nets.initial import Initialisation


@pytest.mark.parametrize("name, of_inner_products, of_convolutions, dense", [
    ("default", "msra", "msra", "msra"), ("orthogonal", "orthogonal", None, None),
    ("delta_orthogonal", "orthogonal", "delta_orthogonal", "delta_orthogonal"),
    ("eco", "orthogonal", "eco", "eco"), ("sao", "sao", None, None),
    ("ramanujan", "ramanujan", None, "msra"),
    ("sao_delta", "sao", "sao_delta", "delta_orthogonal"),
    ("sao_eco", "sao", "sao_eco", "eco")])
def test_fillers(name, of_inner_products, of_convolutions, dense):
    """Dense layers of a sparse net have the dense initialisation of the same kind."""
    options = {"degree": 4, "variant": 2} if "sao" in name or name == "ramanujan" else {}
    init = Initialisation(name, gain=1.5, **options)
    assert init.is_sparse == bool(options) and init.is_eco == ("eco" in name)

    def expected(filler):
        if filler == "msra":
            return {"type": "msra"}
        return {"type": filler, "gain": 1.5, **(options if "sao" in filler or filler == "ramanujan"
                                                else {})}

    assert init.filler() == expected(of_inner_products)
    for filler, is_dense in (of_convolutions, False), (dense, True):
        if filler is None:
            with pytest.raises(Error, match="not for convolutions: for them are default, delta_o"):
                init.filler("Convolution", dense=is_dense)
        else:
            assert init.filler("Convolution", dense=is_dense) == expected(filler)


def test_the_form_for_relus_is_not_for_layers_left_dense():
    """The first convolution has three inputs: an odd number has no such form."""
    for name, options in ("delta_orthogonal", {}), ("sao_delta", {"degree": 4}):
        init = Initialisation(name, relu=True, gain=2.0, **options)
        assert init.filler("Convolution")["relu"] is True
        assert init.filler("Convolution", dense=True) == {"type": "delta_orthogonal", "gain": 2.0}


def test_options_of_one_layer():
    init = Initialisation("sao", sparsity=0.5, values=None)
    assert init.filler(degree=3, sparsity=None) == {"type": "sao", "degree": 3}
    assert init.filler() == {"type": "sao", "sparsity": 0.5}
    assert init.title("Net") == "Net sao sparsity 0.5"


@pytest.mark.parametrize("arguments, message", [
    ({"name": "soa", "degree": 2}, "unknown init 'soa': did you mean 'sao'"),
    ({"name": "sao", "degre": 4}, "unknown option 'degre': did you mean 'degree'"),
    ({"name": "sao"}, "init 'sao' needs degree or sparsity, and not both"),
    ({"name": "sao_eco", "degree": 2, "sparsity": 0.5}, "'sao_eco' needs degree or sparsity"),
    ({"name": "sao", "sparsity": 1.2}, "sparsity must be at least 0 and less than 1, not 1.2"),
    ({"name": "eco", "sparsity": 0.5}, "init 'eco' is dense: sparsity is for sao, ramanujan")])
def test_errors(arguments, message):
    with pytest.raises(Error, match=message):
        Initialisation(**arguments)
