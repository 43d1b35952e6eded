"""Looking at what an attention layer attends with."""

import contextlib


@contextlib.contextmanager
def captured_projections(layer):
    """Notes the projected queries and keys that `layer.call` works with.

    An overridden `_compute_attention` would make Keras give up its native causal
    kernel; one in the instance, for the time of a call, does not.

    Args:
        layer: `keras.layers.MultiHeadAttention`, `GroupQueryAttention` or a subclass.

    Yields:
        List, empty at first; after the call query `(B, T, N, H)` and key
        `(B, S, N, H)`. With grouped queries the key heads are repeated.
    """
    projected = []
    compute_attention = layer._compute_attention

    def note(query, key, *args, **kwargs):
        projected.extend((query, key))
        return compute_attention(query, key, *args, **kwargs)

    layer.__dict__["_compute_attention"] = note
    try:
        yield projected
    finally:
        del layer.__dict__["_compute_attention"]
