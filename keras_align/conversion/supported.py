"""Which attention classes can be aligned, and into what they are turned.

A class is matched exactly: a subclass with a `call` of its own may not do what the
alignment relies on, so it needs an adapter of its own.
"""

from typing import Any

import keras

from keras_align.adapters import (
    AttentionAdapter,
    adapter_for,
    check_layout,
    is_registered,
)
from keras_align.adapters.added_loss import ADDED_LOSS_ADAPTER
from keras_align.layers import (
    AlignedGraphAttention,
    AlignedGroupedQueryAttention,
    AlignedMultiHeadAttention,
    GraphAttention,
)
from keras_align.layers.adapted_attention import AdaptedAttention, adapted_class
from keras_align.layers.aligned_attention import AlignedAttention

ALIGNED_CLASSES: dict[Any, Any] = {
    keras.layers.MultiHeadAttention: AlignedMultiHeadAttention,
    keras.layers.GroupQueryAttention: AlignedGroupedQueryAttention,
    GraphAttention: AlignedGraphAttention,
}
_WITHOUT_PROJECTIONS = keras.layers.Attention, keras.layers.AdditiveAttention
_KNOWN_CLASSES = *ALIGNED_CLASSES, *_WITHOUT_PROJECTIONS
PLAIN_CLASSES = {aligned: plain for plain, aligned in ALIGNED_CLASSES.items()}
_USUAL = AttentionAdapter()


def plain_class(cls: Any) -> Any:
    """The class of a layer without what conversion or recording made of it."""
    cls = getattr(cls, "noted_class", cls)  # see `noted_self_attention`
    cls = getattr(cls, "contained_class", cls)  # see `containers`
    return vars(cls).get("plain_class") or cls  # a subclass of the user has none


def aligned_class(cls: Any) -> Any:
    """The aligned class for the class of a layer, or `None` if it is not supported."""
    plain = plain_class(cls)
    if plain in ALIGNED_CLASSES:
        return ALIGNED_CLASSES[plain]
    adapter = adapter_for(plain)
    return None if adapter is None else adapted_class(plain, adapter)


def is_supported(layer: keras.layers.Layer) -> bool:
    """Whether the layer can be aligned, or is aligned already."""
    plain = plain_class(type(layer))
    known = plain in ALIGNED_CLASSES or adapter_for(plain) is not None
    return known or isinstance(layer, AlignedAttention)


def is_own_class(layer: keras.layers.Layer) -> bool:
    """Whether the layer's class is a user's subclass of `AlignedAttention`."""
    return issubclass(plain_class(type(layer)), AlignedAttention)


def is_aligned(layer: keras.layers.Layer) -> bool:
    """Whether the layer trains an alignment."""
    return isinstance(layer, AlignedAttention) and layer.alignment is not None


def is_known_attention(layer: keras.layers.Layer) -> bool:
    """Whether the layer is of a class of Keras's or ours, or of a subclass."""
    return isinstance(layer, _KNOWN_CLASSES)


def is_named_attention(layer: keras.layers.Layer) -> bool:
    """Whether the class of the layer has the name of attention."""
    name = type(layer).__name__
    return "Attention" in name and "Mask" not in name


def can_register(layer: keras.layers.Layer) -> bool:
    """Whether the class of a layer is none of Keras's own."""
    return not type(layer).__module__.startswith("keras.")


def why_unsupported(layer: keras.layers.Layer) -> str:
    """Why a layer of attention cannot be aligned, a clause."""
    if can_register(layer):
        return "class not registered, see keras_align.register_attention"
    return "has no projections of queries and keys"


def adapter_of(layer: keras.layers.Layer) -> AttentionAdapter:
    """The `AttentionAdapter` of a supported layer."""
    cls = plain_class(type(layer))
    if issubclass(cls, AdaptedAttention):  # a subclass of the user
        return cls.adapter
    if issubclass(cls, AlignedAttention):  # a layer of one's own
        return ADDED_LOSS_ADAPTER
    if cls in ALIGNED_CLASSES:
        return ALIGNED_CLASSES[cls].adapter
    return adapter_for(cls) or _USUAL


def check_layer(layer: keras.layers.Layer) -> None:
    """Raises ValueError if a built layer of a supported class cannot be aligned."""
    if "call" in vars(layer):
        raise ValueError(
            f"Layer '{layer.name}' of class {type(layer).__name__} has a `call` of its "
            "own, set on the object, which hides the one that aligns. Expected the "
            f"`call` of its class. Received: call={vars(layer)['call']!r}"
        )
    adapter_of(layer).check(layer)
    if is_registered(plain_class(type(layer))):
        check_layout(adapter_of(layer), layer)


def num_heads(layer: keras.layers.Layer) -> int:
    """Number of query heads of a supported layer."""
    return adapter_of(layer).num_heads(layer)


def head_size(layer: keras.layers.Layer) -> int:
    """Size of one query or key head of a supported layer."""
    return adapter_of(layer).head_size(layer)


def has_trainable_projections(layer: keras.layers.Layer) -> bool:
    """Whether training can change the queries or keys of a built, supported layer."""
    try:
        projections = adapter_of(layer).projections(layer)
    except ValueError:  # not known, so any weight may be one of theirs
        projections = [layer]
    return any(v.trainable for each in projections for v in each.variables)
