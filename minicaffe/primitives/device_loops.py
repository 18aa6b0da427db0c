"""CUDA text of the loops that layers share, around formulas of one entry.

Lists of names are strings, "x y dy". In a formula each is one entry, a number of type Real; arrays
may lie in the same memory, since a thread reads all its inputs before it writes. The loops' own
names aren't free: i, n and, where there are channels, c, s, e, o, g, first.
"""

from ..backend import Kernels

COLUMNS = 32                 # channels side by side in a block of channel_sums, where inner is 1


def entries(name, inputs, outputs, body, parameters="", columns=""):
    """A function that sets `outputs` from `inputs`, arrays of n entries, by the C++ text `body`.

    parameters  numbers, the same for all entries
    columns     arrays of one number a channel, of arrays (outer, channels, inner)
    Its arguments: n (with columns: n, channels, inner), inputs, outputs, columns, parameters. It
    runs by `launch`, with columns by `Blocks.launch`.
    """
    inputs, outputs, columns, parameters = (
        names.split() for names in (inputs, outputs, columns, parameters))
    arguments = (["Index n"] + ["Index channels", "Index inner"] * bool(columns)
                 + [f"const Real *{a}_" for a in inputs] + [f"Real *{a}_" for a in outputs]
                 + [f"const Real *{a}_" for a in columns] + [f"double {p}_" for p in parameters])
    return f"""
extern "C" __global__ void {name}({", ".join(arguments)})
{{
    {" ".join(f"const Real {p} = {p}_;" for p in parameters)}
    {_CHANNEL_START if columns else ""}
    GRID_LOOP(i, n) {{
        {" ".join(f"const Real {a} = {a}_[i];" for a in inputs)}
        {" ".join(f"const Real {a} = {a}_[c];" for a in columns)}
        Real {", ".join(outputs)};
        {body}
        {" ".join(f"{a}_[i] = {a};" for a in outputs)}
        {_CHANNEL_NEXT if columns else ""}
    }}
}}
"""


# The channel c of entry i = (o * channels + c) * inner + s, without a division an entry.
_CHANNEL_START = """
    const Index stride = blockDim.x * (Index)gridDim.x;
    const Index first = blockIdx.x * (Index)blockDim.x + threadIdx.x;
    const Index inner_step = stride % inner, channel_step = stride / inner % channels;
    Index s = first % inner, c = first / inner % channels;"""
_CHANNEL_NEXT = """
        s += inner_step; c += channel_step;
        if (s >= inner) { s -= inner; c += 1; }
        if (c >= channels) c -= channels;"""


def channel_sums(name, inputs, terms, start="", added=False):
    """A function that adds up `terms`, formulas of `inputs`, over each channel.

    inputs      arrays (outer, channels, inner)
    terms       a list of C++ expressions, taken in double precision
    start       text that a thread begins with; there c is its channel
    added       whether sums is an array (terms, channels) like the inputs that they are added to,
                where there is but one group
    It runs by `Blocks.launch_sums` and writes sums (terms, groups, channels), group g being the
    g-th piece of a channel's outer * inner entries. Sums are made in a fixed order.
    """
    inputs, numbers = inputs.split(), range(len(terms))
    kind, sign = ("Real", "+=") if added else ("double", "=")
    return f"""
extern "C" __global__ void {name}(Index outer, Index channels, Index inner, Index groups,
                                  {", ".join(f"const Real *{a}_" for a in inputs)}, {kind} *sums)
{{
    __shared__ double part[{len(terms)}][256];
    const unsigned width = inner == 1 ? {COLUMNS} : 1, step = blockDim.x / width;
    const Index across = (channels + width - 1) / width, share = (outer * inner - 1) / groups + 1;
    const Index c = blockIdx.x % across * width + threadIdx.x % width, g = blockIdx.x / across;
    const Index end = g * share + share < outer * inner ? g * share + share : outer * inner;
    double {", ".join(f"sum{k} = 0" for k in numbers)};
    if (c < channels) {{
        {start}
        Index e = g * share + threadIdx.x / width, o = e / inner, s = e % inner;
        const Index outer_step = step / inner, inner_step = step % inner;
        for (; e < end; e += step) {{
            const Index i = (o * channels + c) * inner + s;
            {" ".join(f"const Real {a} = {a}_[i];" for a in inputs)}
            {" ".join(f"sum{k} += {term};" for k, term in enumerate(terms))}
            o += outer_step; s += inner_step;
            if (s >= inner) {{ s -= inner; o += 1; }}
        }}
    }}
    {" ".join(f"part[{k}][threadIdx.x] = sum{k};" for k in numbers)}
    for (unsigned half = blockDim.x / 2; half >= width; half /= 2) {{
        __syncthreads();
        if (threadIdx.x < half) {{
            {" ".join(f"part[{k}][threadIdx.x] += part[{k}][threadIdx.x + half];" for k in numbers)}
        }}
    }}
    if (threadIdx.x < width && c < channels) {{
        {" ".join(f"sums[({k} * groups + g) * channels + c] {sign} part[{k}][threadIdx.x];"
                  for k in numbers)}
    }}
}}
"""


# total(sums, k, ...): the sum over groups of term k of channel c, of what channel_sums wrote
TOTAL = """
__device__ double total(const double *sums, Index k, Index groups, Index channels, Index c)
{
    double result = 0;
    for (Index g = 0; g < groups; g++) result += sums[(k * groups + g) * channels + c];
    return result;
}
"""

# block_sum(value): the sum of all threads' values, handed to all threads of a block of 256
BLOCK_SUM = """
__device__ double block_sum(double value)
{
    __shared__ double part[256];
    __syncthreads();                              // all have read the result of the call before
    part[threadIdx.x] = value;
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    __syncthreads();
    return part[0];
}
"""


def launch(kernels, function, *arguments):
    """Run an `entries` function without columns; the first argument is an array."""
    first = arguments[0]
    kernels(function, first.dtype, first.size, first.size, *arguments)


def elementwise_kernels(name, values, gradient=None, parameters=""):
    """The kernels of an ElementwiseLayer from its formulas, in C++.

    values      sets y from x
    gradient    sets dx from x, y and dy; None: it has none
    parameters  names of what the layer's constants() returns
    Functions: values(x; y), values_kept(x; y, kept), which copies x, and gradient(x, y, dy; dx).
    """
    text = (entries("values", "x", "y", values, parameters)
            + entries("values_kept", "x", "y kept", "kept = x; " + values, parameters))
    if gradient is not None:
        text += entries("gradient", "x y dy", "dx", gradient, parameters)
    return Kernels(name, text)
