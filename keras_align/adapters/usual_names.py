"""The names under which attention classes usually keep what an adapter looks for."""

import inspect
import numbers
from collections.abc import Iterable
from typing import Any, TypeGuard

import keras

from keras_align import keras_internals

PROJECTIONS = (
    ("query_dense", "key_dense"),
    keras_internals.PROJECTIONS,
    ("q_dense", "k_dense"),
    ("q_proj", "k_proj"),
    ("query_proj", "key_proj"),
    ("query_projector", "key_projector"),
    ("query_projection", "key_projection"),
    ("query", "key"),
    ("wq", "wk"),
    ("q", "k"),
)
NUM_HEADS = (
    "num_query_heads",
    "_num_query_heads",
    "num_attention_heads",
    "num_heads",
    "_num_heads",
    "heads",
)
NUM_KEY_HEADS = (
    "effective_num_kv_heads",
    "num_key_value_heads",
    "_num_key_value_heads",
    "num_kv_heads",
)
HEAD_SIZE = ("head_dim", "_head_dim", "head_size", "attn_head_size", "key_dim")
KEY_SOURCE = (
    *("key", "keys", "k", "value", "values", "v"),
    *("key_value", "key_values", "key_value_states", "kv", "inputs_kv"),
    *("encoder_hidden_states", "encoder_states", "encoder_sequence"),
    *("encoder_output", "encoder_outputs", "encoder_out", "enc_output"),
    *("cross_attention_states", "context", "memory", "source"),
)


def first_number(layer: keras.layers.Layer, names: Iterable[str]) -> int | None:
    """The first integer that a layer has under one of the names, or `None`."""
    values = (getattr(layer, name, None) for name in names)
    return next((int(value) for value in values if _is_integer(value)), None)


def check_parameter(layer: keras.layers.Layer, argument: str, name: str) -> None:
    """Raises ValueError unless an adapter's argument names one of `layer.call`."""
    parameters = inspect.signature(layer.call).parameters
    kinds = {each.kind for each in parameters.values()}
    if name not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
        raise ValueError(
            f"Argument `{argument}` of the adapter of {type(layer).__name__} must name "
            f"an argument of its `call`, one of {list(parameters)}. "
            f"Received: {argument}={name!r}"
        )


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
