"""The training runs of MLP-7 and MLP-N: dense, pruned, and sparse from the start."""

from minicaffe import backend, nets
from minicaffe.proto import caffe_pb2

from .training_runs import SMOKE, Length, in_blocks, pruned_at_once, training

ACTIVATIONS = "linear", "TanH", "ReLU", "SiLU"
MLP7 = {"smoke": SMOKE, "quick": Length(9), "full": Length(90)}
MLP7_METHODS = "Dense", "GMP-S", "GMP-T", "SAO"
DEGREE = 4
SPARSITY = 0.986                      # of all weights, at that degree
MLP_N = {"smoke": SMOKE, "quick": Length(1), "full": Length(10)}
MLP_N_THESIS = 100                    # epochs; 10 in Table 4.2
DEPTHS = {"smoke": (2,), "quick": (50,), "full": (50, 200)}
ON_A_GPU = 50, 200, 400, 600, 800, 1000          # at full scale
METHODS = "Dense", "SAO", "LMP-S", "LMP-T", "GMP-S", "GMP-T", "RG-S", "RG-T", "RG-U", "RG-N"


def depths(scale):
    """The numbers N of layers at a scale; on a CPU no more than 200."""
    return ON_A_GPU if scale == "full" and backend.mode() != "cpu" else DEPTHS[scale]


def notes(scale, of, all_depths=True):
    """Sentences for figures of MLP-N, for which the thesis trains `of` epochs."""
    there, words = depths(scale), []
    if scale != "full" or MLP_N[scale].epochs != of:
        words.append(f"scale {scale}: {MLP_N[scale].words(of)}")
    if all_depths and there != ON_A_GPU:
        words.append(f"N = {' and '.join(map(str, there))}; the thesis's are {ON_A_GPU[0]} to "
                     f"{ON_A_GPU[-1]}")
    return words


def mlp7(activation, method, scale, seed=1):
    """The Run of MLP-7 on MNIST by one of MLP7_METHODS, 90 % sparse but for Dense."""
    length, net, more = MLP7[scale], nets.mlp7(activation, "orthogonal"), {}
    if method == "SAO":
        net = in_blocks(nets.mlp7(activation, "sao", sparsity=0.9))
    elif method == "Dense":
        more["keep_weights"] = True
    else:
        more["pruning"] = pruned_at_once("GMP", sparsity=0.9)
        if method == "GMP-T":
            more["begin"] = mlp7(activation, "Dense", scale, seed)
    what = f", seed {seed}" if seed > 1 else ""
    return training(f"MLP-7 {activation} {method}{what}", net, "mlp7", length, seed=seed,
                    records=length.epochs or 1, **more)


def sparse_mlp_n(layers, scale, degree=DEGREE, init="sao", records=0, rate=None, length=None,
                 tests=0, what="", biases="zero", **options):
    """The Run of MLP-N on MNIST, sparse from the start.

    records, tests, length: see `training`, if not MLP_N's; biases: "zero" or "random" at first;
    options: gain, and the filler's.
    """
    rate = rate or nets.mlp_n_rate(layers)
    net = in_blocks(nets.mlp_n(layers, init, degree=degree, widths=_widths(scale, degree),
                               **options))
    if biases == "random":
        _draw_biases(net)
    return training(f"MLP-{layers} {what or init} degree {degree}, rate {rate:g}", net, "mlp_n",
                    length or MLP_N[scale], records=records, tests=tests, base_lr=rate)


def mlp_n(layers, method, scale):
    """The Run of MLP-N on MNIST by one of METHODS; singular values at the start and the end.

    Its rate is Section 4.2.2's, 1e-3 for N = 200: with nets.mlp_n_rate's 1e-2 the dense net doesn't
    learn, it stays at 21 % in six epochs.
    """
    rate = min(nets.mlp_n_rate(layers), 1e-2 if layers <= 50 else 1e-3)
    if method == "SAO":
        return sparse_mlp_n(layers, scale, records=1, rate=rate, what="SAO")
    if method in ("RG-U", "RG-N"):
        values = "UNIFORM" if method == "RG-U" else "NORMAL"
        return sparse_mlp_n(layers, scale, init="ramanujan", records=1, rate=rate, what=method,
                            values=values)
    net, more = nets.mlp_n(layers, widths=_widths(scale, DEGREE)), {}
    if method == "Dense":
        more["keep_weights"] = True
    else:
        how, when = method.split("-")
        amount = {"degree": DEGREE} if how == "RG" else {"sparsity": SPARSITY}
        more["pruning"] = pruned_at_once(how, leave_out=[f"ip{layers + 2}"], **amount)
        if when == "T":
            more["begin"] = mlp_n(layers, "Dense", scale)
    return training(f"MLP-{layers} {method}, rate {rate:g}", net, "mlp_n", MLP_N[scale], records=1,
                    base_lr=rate, **more)


def _draw_biases(net):
    """Let biases begin uniform in +- 1 / sqrt(K), K being a layer's inputs, as in PyTorch."""
    inputs = 32 * 32
    for layer in net.layer:
        param = layer.inner_product_param if layer.type == "InnerProduct" \
            else layer.sparse_orthogonal_inner_product_param
        if param.num_output:
            bound = inputs ** -0.5
            param.bias_filler.CopyFrom(caffe_pb2.FillerParameter(type="uniform", min=-bound,
                                                                 max=bound))
            inputs = param.num_output


def _widths(scale, degree):
    """The thesis's, or at smoke the narrowest first layer that the degree fits."""
    return (1024 // degree, 512 // degree) if scale == "smoke" else None
