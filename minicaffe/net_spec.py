"""Nets written in Python: NetSpec, layers (L) and params (P), as pycaffe's net_spec.

    from minicaffe import layers as L, params as P, NetSpec
    n = NetSpec()
    n.data, n.label = L.Data(batch_size=64, backend=P.Data.LMDB, source="mnist_lmdb", ntop=2)
    n.ip = L.InnerProduct(n.data, num_output=10, weight_filler=dict(type="xavier"))
    n.relu = L.ReLU(n.ip, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.relu, n.label)
    print(n.to_proto())

Names of layers and tops are the attributes they are assigned to; what is assigned to none is
called after its type: ReLU1, ReLU2 ... `minicaffe.layers`, the package of layer classes, hands
out the functions of `layers` here for every name that is a layer type's, so that pycaffe's import
line works as it stands.
"""

import collections
import difflib

from .errors import LayerError
from .proto import caffe_pb2

# layer types whose keyword arguments go to a message not called after the type
SHARED_MESSAGES = {"Deconvolution": "convolution_param", "Im2col": "convolution_param",
                   "LSTM": "recurrent_param", "RNN": "recurrent_param",
                   "SoftmaxWithLoss": "softmax_param"}


def param_name_dict():
    """Layer type -> its field of LayerParameter: {"InnerProduct": "inner_product_param", ...}."""
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields
    own = {field.message_type.name.removesuffix("Parameter"): field.name for field in fields
           if field.message_type is not None and field.name.endswith("_param")}
    return {**SHARED_MESSAGES, **own}


_param_names = param_name_dict()


class Top:
    """One output of a Function: what a layer returns, and what the next ones take."""

    def __init__(self, fn, n):
        self.fn, self.n = fn, n

    def to_proto(self):
        """The NetParameter of all layers this top depends on."""
        return to_proto(self)


class Function:
    """A layer in the making: its type, its inputs (Tops) and its parameters.

    params may hold `ntop`, the number of tops (1 by default), and `in_place`: the tops are the
    bottoms. The rest goes to the message of the layer type, or where that has no such field to
    LayerParameter itself (`name`, `include`, `loss_weight`, `transform_param` ...).
    """

    def __init__(self, type_name, inputs, params):
        for i, given in enumerate(inputs):
            if not isinstance(given, Top):
                raise TypeError(f"{type_name}: input {i} is a {type(given).__name__}, not the top "
                                "of a layer (a layer with several tops gives a tuple of them)")
        self.type_name, self.inputs, self.params = type_name, inputs, dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        if self.in_place and self.ntop != len(inputs):
            raise LayerError(f"{type_name}: in_place needs as many inputs as tops, "
                           f"not {len(inputs)} for {self.ntop}")
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def to_proto(self):
        """The NetParameter of this layer and all it depends on."""
        return to_proto(self)


class NetSpec:
    """A net whose tops are attributes (or items); to_proto gives its NetParameter."""

    def __init__(self):
        super().__setattr__("tops", collections.OrderedDict())

    def __setattr__(self, name, value):
        if not isinstance(value, (Top, Function)):
            raise TypeError(f"'{name}' is set to a {type(value).__name__}, not to the top of a "
                            "layer")
        self.tops[name] = value

    def __getattr__(self, name):
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f"the net has no top '{name}'; its tops are "
                                 + (", ".join(self.tops) or "none yet")) from None

    def __delattr__(self, name):
        del self.tops[name]

    def __getitem__(self, name):
        return self.__getattr__(name)

    def __setitem__(self, name, value):
        self.__setattr__(name, value)

    def __delitem__(self, name):
        del self.tops[name]

    def __contains__(self, name):
        return name in self.tops

    def to_proto(self):
        """The NetParameter of all layers assigned so far, and of those they depend on."""
        return _net(self.tops.values(), {value: name for name, value in self.tops.items()})


def to_proto(*tops):
    """The NetParameter of the layers that compute `tops`, all named automatically."""
    return _net(tops, {})


def _net(wanted, names):
    """names: {Top or Function: name}, which is added to."""
    made, count = collections.OrderedDict(), collections.Counter()

    def name_of(thing, type_name):
        if thing not in names:
            count[type_name] += 1
            names[thing] = f"{type_name}{count[type_name]}"
        return names[thing]

    for fn in _in_order(wanted):
        layer = caffe_pb2.LayerParameter(type=fn.type_name)
        layer.bottom.extend(made[top.fn].top[top.n] for top in fn.inputs)
        if fn.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(name_of(top, fn.type_name) for top in fn.tops)
        layer.name = name_of(fn.tops[0] if fn.tops and fn not in names else fn, fn.type_name)
        for key, value in fn.params.items():
            _assign(_message(layer, key), key, value, layer)
        made[fn] = layer
    return caffe_pb2.NetParameter(layer=made.values())


def _in_order(wanted):
    """The Functions of tops and all they depend on, inputs first, each once; without recursion."""
    done, waiting = {}, [getattr(top, "fn", top) for top in reversed(list(wanted))]
    while waiting:
        fn = waiting[-1]
        missing = [top.fn for top in fn.inputs if top.fn not in done]
        if missing:
            waiting.append(missing[0])
        else:
            done.setdefault(waiting.pop())
    return done


def _message(layer, key):
    """The message of a LayerParameter that a keyword argument belongs to."""
    field = _param_names.get(layer.type)
    if field is None:
        return layer
    own = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[field].message_type
    if key in own.fields_by_name:
        return getattr(layer, field)
    return layer


def _assign(message, key, value, layer):
    """message.key = value, where dictionaries stand for messages and one value for a list of it."""
    field = message.DESCRIPTOR.fields_by_name.get(key)
    if field is None:
        raise LayerError(_unknown(message, key, layer))
    try:
        if hasattr(getattr(message, key), "extend"):
            is_list = isinstance(value, (list, tuple)) or hasattr(value, "tolist")
            for one in value if is_list else [value]:
                if isinstance(one, dict):
                    _fill(getattr(message, key).add(), one, layer)
                else:
                    getattr(message, key).append(one)
        elif isinstance(value, dict):
            getattr(message, key).SetInParent()
            _fill(getattr(message, key), value, layer)
        elif field.message_type is not None:
            getattr(message, key).CopyFrom(value)
        elif field.enum_type is not None and isinstance(value, str):
            setattr(message, key, field.enum_type.values_by_name[value].number)
        else:
            setattr(message, key, value)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise LayerError(f"layer '{layer.name}' ({layer.type}): {key} can't be {value!r}: "
                       f"{error}") from error


def _fill(message, values, layer):
    for key, value in values.items():
        _assign(message, key, value, layer)


def _unknown(message, key, layer):
    known = list(message.DESCRIPTOR.fields_by_name)
    owner = message.DESCRIPTOR.name
    if message is layer and layer.type in _param_names:
        owner = f"neither {_param_names[layer.type]} nor LayerParameter"
        own = message.DESCRIPTOR.fields_by_name[_param_names[layer.type]].message_type
        known += list(own.fields_by_name)
    close = difflib.get_close_matches(key, known)
    hint = f"; did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
    has = "has a" if owner.startswith("neither") else "has no"
    return f"layer '{layer.name}' ({layer.type}): {owner} {has} field '{key}'{hint}"


class Layers:
    """layers.TYPE(*tops, **params): a layer of any type. See Function for what it takes.

    Gives its top, or with ntop > 1 the tuple of its tops; with ntop=0 the Function itself.
    """

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def layer_fn(*inputs, **params):
            fn = Function(name, inputs, params)
            return fn if fn.ntop == 0 else fn.tops[0] if fn.ntop == 1 else fn.tops
        layer_fn.__name__ = name
        return layer_fn


class Parameters:
    """params.TYPE.VALUE: the enum values of a layer type's parameters, as params.Pooling.MAX."""

    def __getattr__(self, name):
        message = getattr(caffe_pb2, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f"there is no {name}Parameter")
        return message


layers = Layers()
params = Parameters()
