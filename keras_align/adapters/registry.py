"""Which adapter serves which attention class."""

import inspect
from typing import TypeVar

import keras

from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.keras_hub_attention import ADAPTERS

_Class = TypeVar("_Class", bound=type)
_REGISTRY: dict[type, AttentionAdapter] = {}


def register_attention(cls: _Class, adapter: AttentionAdapter | None = None) -> _Class:
    """Lets `align_model` convert the layers of an attention class.

    The class is matched exactly: a subclass may do otherwise and needs a registration
    of its own. Register before models that were aligned are loaded.

    Args:
        cls: subclass of `keras.layers.Layer` that attends with queries and keys.
        adapter: `AttentionAdapter` that finds them, by default one that looks for them
            under the usual names (see `AttentionAdapter`).

    Returns:
        `cls`, so that it also serves as a decorator.

    Raises:
        ValueError: if `cls` is no layer class or `adapter` no adapter.

    Example:

    >>> @keras_align.register_attention
    ... class MyAttention(keras.layers.Layer):
    ...     def __init__(self, num_heads, head_dim, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.num_heads, self.head_dim = num_heads, head_dim
    ...         self.query = keras.layers.Dense(num_heads * head_dim)
    ...         self.key = keras.layers.Dense(num_heads * head_dim)
    ...     def call(self, x, attention_mask=None):
    ...         return keras.ops.softmax(self.query(x) @ self.key(x).mT) @ x
    """
    is_layer = inspect.isclass(cls) and issubclass(cls, keras.layers.Layer)
    aligned = hasattr(cls, "_add_alignment_loss")
    other = aligned or (is_layer and issubclass(cls, keras.Model))
    if not is_layer or other or cls.__module__.startswith("keras."):
        raise ValueError(
            "Argument `cls` must be a subclass of keras.layers.Layer, not a model, "
            f"aligned or one of Keras's own classes. Received: cls={cls!r}"
        )
    adapter = AttentionAdapter() if adapter is None else adapter
    if not isinstance(adapter, AttentionAdapter):
        raise ValueError(
            "Argument `adapter` must be a keras_align.AttentionAdapter. "
            f"Received: adapter={adapter!r}"
        )
    _REGISTRY[cls] = adapter
    return cls


def adapter_for(cls: type[keras.layers.Layer]) -> AttentionAdapter | None:
    """The `AttentionAdapter` of a registered or keras-hub class, or `None`."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    return _REGISTRY.get(cls) or ADAPTERS.get(name)


def is_registered(cls: type) -> bool:
    """Whether an attention class was given to `register_attention`."""
    return cls in _REGISTRY
