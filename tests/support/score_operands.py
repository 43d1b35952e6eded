"""What really enters the attention scores of a model, seen from the backend.

Knows nothing of adapters: it looks at every product of two tensors that an attention
layer asks the backend for, and counts how often the layer attends.
"""

import contextlib
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.src import backend


@dataclass
class Call:
    """One call of an attention layer.

    Attributes:
        layer: the layer.
        products: list of pairs of arrays `(B, T, N, H)` and `(B, S, N, H)`, the
            operands of every product that could be one of queries and keys.
        attends: int, how many softmaxes, or fused attentions, were computed.
    """

    layer: keras.layers.Layer
    products: list = field(default_factory=list)
    attends: int = 0


@contextlib.contextmanager
def noted_calls(layers):
    """Yields a list, empty at first, of a `Call` for each call of the layers."""
    noted = {id(layer) for layer in layers}
    calls, stack = [], []  # of the layers that are running, or their `Call`
    busy = []  # a function of the backend is running, which may use another

    def layer_call(original):
        def call(self, *args, **kwargs):
            stack.append(Call(self) if id(self) in noted else self)
            calls.extend(each for each in stack[-1:] if isinstance(each, Call))
            try:
                return original(self, *args, **kwargs)
            finally:
                stack.pop()

        return call

    def product(operands):
        def spying(original):
            def call(*args, **kwargs):
                if not busy and stack and isinstance(stack[-1], Call):
                    stack[-1].products.extend(operands(*args, **kwargs))
                with running():
                    return original(*args, **kwargs)

            return call

        return spying

    def attending(original):
        def call(*args, **kwargs):
            running_attention = [each for each in stack if isinstance(each, Call)]
            if running_attention and not busy:
                running_attention[-1].attends += 1
            return original(*args, **kwargs)

        return call

    @contextlib.contextmanager
    def running():
        busy.append(True)
        try:
            yield
        finally:
            busy.pop()

    with (
        _replaced(keras.layers.Layer, "__call__", layer_call),
        _replaced(backend.numpy, "einsum", product(_of_einsum)),
        _replaced(backend.numpy, "matmul", product(_of_matmul)),
        _replaced(tf.Tensor, "__matmul__", product(_of_matmul)),
        _replaced(backend.nn, "dot_product_attention", product(_of_fused)),
        _replaced(backend.nn, "dot_product_attention", attending),
        _replaced(backend.nn, "softmax", attending),
    ):
        yield calls


@contextlib.contextmanager
def _replaced(owner, name, make):
    original = getattr(owner, name)
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def _of_fused(query, key, *args, **kwargs):
    """`(B, T, N, H)` and `(B, S, K, H)`."""
    query, key = to_numpy(query), to_numpy(key)
    yield query, np.repeat(key, query.shape[2] // key.shape[2], axis=2)


def _of_matmul(left, right):
    """`(B, ..., T, H)` and `(B, ..., H, S)`; `(B * N, T, H)` counts as one head."""
    left, right = to_numpy(left), np.swapaxes(to_numpy(right), -1, -2)
    if left.ndim < 3 or left.ndim != right.ndim:
        return
    leading = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    pair = (np.broadcast_to(x, (*leading, *x.shape[-2:])) for x in (left, right))
    pair = (x.reshape(leading[0], -1, *x.shape[-2:]) for x in pair)
    yield tuple(np.swapaxes(x, 1, 2) for x in pair)


def _of_einsum(subscripts, *operands):
    """Operands of an equation with a result `(B, ..., T, S)`, as a softmax wants it."""
    inputs, output = subscripts.replace(" ", "").split("->")
    inputs = inputs.split(",")
    if len(inputs) != 2 or "." in subscripts or len(output) < 3:
        return
    bound = (set(inputs[0]) & set(inputs[1])) - set(output)
    first, second = output[-2:]
    if first in inputs[1]:
        inputs, operands = inputs[::-1], operands[::-1]
    alone = first not in inputs[1] and second not in inputs[0]
    if len(bound) != 1 or not alone or any(output[0] not in x for x in inputs):
        return
    arrays = [to_numpy(x) for x in operands]
    sizes = {}
    for labels, array in zip(inputs, arrays, strict=True):
        for label, size in zip(labels, array.shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    rest = output[1:-2] + bound.pop()
    tokens = zip(inputs, arrays, (first, second), strict=True)
    pair = (_of_axes(x, by, output[0] + at + rest, sizes) for by, x, at in tokens)
    yield tuple(pair)


def _of_axes(x, labels, wanted, sizes):
    """Brings axes `labels` to the order `wanted`, and all axes of heads to one."""
    there = [label for label in wanted if label in labels]
    x = np.transpose(x, [labels.index(label) for label in there])
    x = x.reshape([x.shape[there.index(w)] if w in there else 1 for w in wanted])
    x = np.broadcast_to(x, [sizes[label] for label in wanted])
    return x.reshape(*x.shape[:2], -1, x.shape[-1])


def to_numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


# Their scores have several terms: the first is of queries and keys, the others of one
# of them and positions or segments.
FIRST_TERM_ONLY = {"DisentangledSelfAttention", "TwoStreamRelativeAttention"}


def check(calls, captured, repeated=False):
    """Asserts that what was captured are the operands of the scores, call by call.

    Args:
        calls: list of `Call`.
        captured: dict from the id of a layer to its pairs of queries and keys, in the
            order of the calls.
        repeated: bool, whether a layer may attend twice in a call.
    """
    layers = {id(call.layer): call.layer for call in calls}
    assert layers.keys() == captured.keys()
    for layer in layers.values():
        own = [call for call in calls if call.layer is layer]
        pairs = captured[id(layer)]
        attends = sum(call.attends for call in own)
        assert attends in (len(pairs), len(pairs) * (1 + repeated)), layer.name
        assert len(pairs) >= len(own), layer.name
        left = iter([product for call in own for product in _of_content(call)])
        for query, key in pairs:  # `any` takes from `left` up to what it finds
            found = any(are_operands(query, key, product) for product in left)
            assert found, f"{layer.name}, a {type(layer).__name__}"


def _of_content(call):
    name = type(call.layer).__name__.removeprefix("Aligned")
    return call.products[: 1 if name in FIRST_TERM_ONLY else None]


def are_operands(query, key, product):
    """Whether queries and keys, as recorded or given to an alignment, make a product.

    Args:
        query: array `(B, G * T, K, H)`, the `G` queries of a group after one another.
        key: array `(B, S, K, H)`.
        product: see `Call`.
    """
    heads = key.shape[2]
    if product[0].shape[2] == 1:
        product = [_heads_out_of_batch(x, heads) for x in product]
    groups = max(1, product[0].shape[2] // heads)
    pair = _ungrouped(query, groups), np.repeat(key, groups, axis=2)
    return all(map(_equal_but_for_a_factor, pair, product))


def _heads_out_of_batch(x, heads):
    """`(B * N, T, 1, H)` -> `(B, T, N, H)`."""
    return np.swapaxes(x.reshape(-1, heads, x.shape[1], x.shape[3]), 1, 2)


def _ungrouped(query, groups):
    """`(B, G * T, K, H)` -> `(B, T, K * G, H)`."""
    batch, length, heads, size = query.shape
    if length % groups:
        return query  # of another product
    query = query.reshape(batch, groups, length // groups, heads, size)
    return query.transpose(0, 2, 3, 1, 4).reshape(batch, -1, heads * groups, size)


def _equal_but_for_a_factor(x, operand):
    """Whether one positive factor, as that of the scores, makes an array of another."""
    if x.shape != operand.shape or not x.any():
        return False
    factor = np.sum(x * operand) / np.sum(x * x)
    error = np.abs(factor * x - operand).max()
    return factor > 0.0 and error <= 1e-5 * np.abs(operand).max()
