"""Whether the axis of heads is where an adapter takes it to be."""

import contextlib

import keras

from keras_align import keras_internals
from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.captured import check_heads
from keras_align.adapters.capturing import replaced


def check_layout(adapter: AttentionAdapter, layer: keras.layers.Layer) -> None:
    """Raises ValueError if a built layer has tokens where heads should be.

    `(B, T, N, H)` and `(B, N, T, H)` are the same shape in a call with as many tokens
    as heads. So the layer is called symbolically on another number of tokens. That
    tells nothing of a layer which needs other arguments or fixes the number.

    Args:
        adapter: `AttentionAdapter` of the layer.
        layer: built attention layer.
    """
    sizes = adapter.num_heads(layer), adapter.num_key_heads(layer)
    tokens = 2 * max(*sizes, adapter.head_size(layer)) + 1
    for query, key in _symbolic_pairs(adapter, layer, tokens):
        if tokens in (query.shape[2], key.shape[2]):
            check_heads(adapter, layer, query, key)


def _symbolic_pairs(adapter, layer, tokens):
    """What is captured in a symbolic call; nothing if there can be no such call."""
    found = []

    def capturing(original):
        def call(*args, **kwargs):
            with adapter.capture(layer) as pairs:
                outputs = original(*args, **kwargs)
            found.extend(pairs)
            return outputs

        return call

    with (
        contextlib.suppress(Exception),
        _restored(layer),
        replaced(layer, "call", capturing),
    ):
        args, kwargs = _inputs(layer, tokens)
        keras.Operation.compute_output_spec(layer, *args, **kwargs)
    return found


def _inputs(layer, tokens):
    """Symbolic inputs `(B, tokens, D)` in the places of those that it was built on."""
    config = layer.get_build_config()
    shapes = config.get("shapes_dict") or {"": config["input_shape"]}
    inputs = {}
    for name, (_, _, width) in shapes.items():
        shape = None, tokens, width
        inputs[name.removesuffix("_shape")] = keras.KerasTensor(
            shape, layer.compute_dtype
        )
    first = [inputs.pop("")] if "" in inputs else []
    return first, inputs


@contextlib.contextmanager
def _restored(layer):
    """Gives a layer, and those inside, back the attributes that they had."""
    before = [(each, dict(vars(each))) for each in keras_internals.flattened(layer)]
    try:
        yield
    finally:
        for each, attributes in before:
            vars(each).clear()
            vars(each).update(attributes)
