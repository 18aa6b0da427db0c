"""Multilayer perceptrons of the thesis on sparse orthogonal initialisation (SAO): MLP-7, MLP-N.

Source: Section 3.5.3.1, Tables 3.3 and 3.4; Section 4.2.3 for skip connections.
"""

from ..errors import Error, unknown
from .chain import Chain
from .initial import Initialisation
from .sources import add_data

# data set: (side of the picture, widths of the first and of all other hidden layers)
SIZES = {"mnist": (32, (512, 256)), "cifar10": (36, (432, 432))}


def mlp7(activation="ReLU", init="default", batch_size=128, **options):
    """MLP-7: linear[1024, 100], five linear[100, 100] and linear[100, 10], on MNIST.

    The pictures are scaled to 32 x 32; the thesis doesn't say how they get there from 28 x 28.
    activation: linear, ReLU, TanH or SiLU, after all but the last layer. init, options: see
    Initialisation; the thesis's are "sao" with sparsity 0.9. All layers are sparse. No structure
    fits 100 x 1024: a wider one is cut to size (`crop`), at sparsity 0.9 the thesis's, 100 x 1100
    with 110 ones a row. A degree is that of the layers 100 x 100. Orthogonal and sao layers between
    two ReLUs take the form of Eq. 3.5, unless options say `relu`: with it the net keeps norms.
    """
    init = Initialisation(init, "msra" if activation == "ReLU" else "xavier", **options)
    net = Chain(init.title(f"MLP-7 {activation}"), rates=())
    add_data(net, "mnist", 32, batch_size, augment=False)
    first = {}
    if init.is_sparse:
        density = init.options["degree"] / 100 if "degree" in init.options \
            else 1 - init.options["sparsity"]
        first = {"degree": round(1100 * density), "sparsity": None, "crop": True}
    relu = init.options.get("relu", True) \
        if activation == "ReLU" and init.name in ("orthogonal", "sao") else None
    for i, outputs in enumerate([100] * 6 + [10], 1):
        filler = init.filler(relu=relu if 1 < i < 7 else None, **(first if i == 1 else {}))
        net.learn("InnerProduct", f"ip{i}", filler, num_output=outputs)
        if i < 7:
            net.activate(activation, i)
    return net.finished()


def mlp_n(layers, init="orthogonal", activation="TanH", data="mnist", widths=None, skip=False,
          gain=1.1, batch_size=128, **options):
    """MLP-N: an input layer, a downscaling one, N - 1 symmetric ones and a dense output layer.

    On MNIST (pictures scaled to 32 x 32) linear[1024, 512], linear[512, 256], N - 1 linear[256,
    256] and linear[256, 10]: N + 2 layers in all. On CIFAR-10, for Section 4.2.3, pictures of
    36 x 36 and 432 units in each layer: the thesis doesn't give these sizes. With them the dense
    net of N = 4 has its 2.43e6 weights, the sparse nets its 2.52e6, 2.43e6, 2.38e6 and 2.36e6 if
    they are one layer deeper than here, and all its degrees (216, 108, 54, 27) fit.
    widths  of the first and of all other hidden layers, in place of these
    skip    symmetric layers have skip connections: x_(l+1) = activation(W x_l + c + x_l)
    gain    of orthogonal and sparse weights, the thesis's by default; with it a gradient grows by
            0.7 % a layer on its way to the input, so that N = 1000 wants 1.05 or random biases
            (figures/sao/text_mlp1000.py); init, options: see Initialisation
    """
    if layers < 1:
        raise Error(f"MLP-N needs at least 1 layer, not {layers}")
    if data not in SIZES:
        raise Error(unknown("data", data, SIZES))
    side, default_widths = SIZES[data]
    init = Initialisation(init, "msra" if activation == "ReLU" else "xavier", gain=gain, **options)
    net = Chain(init.title(f"MLP-{layers}" + " with skip connections" * skip), rates=())
    classes = add_data(net, data, side, batch_size, augment=False).classes
    first, width = widths or default_widths
    for i, outputs in enumerate([first] + [width] * layers, 1):
        before = net.last
        net.learn("InnerProduct", f"ip{i}", init.filler(), num_output=outputs)
        if skip and i > 2:
            net.add("Eltwise", f"sum{i}", [net.last, before])
        net.activate(activation, i)
    net.learn("InnerProduct", f"ip{layers + 2}", init.filler(dense=True), num_output=classes)
    return net.finished()
