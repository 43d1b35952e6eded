"""Inputs of the small models: two samples, the second one padded."""

import keras_hub
import numpy as np

B, T, VOCAB, DIM, HEADS, KV = 2, 8, 32, 16, 4, 2
_rng = np.random.default_rng(0)
_START = _rng.bit_generator.state


def start_again():
    """Draws the same again, so that inputs do not depend on what was built before."""
    _rng.bit_generator.state = _START


def mask(length=T, pad=3, dtype="int32"):
    """The second sample ends `pad` tokens early."""
    lengths = np.array([length, length - pad])
    return (np.arange(length)[None] < lengths[:, None]).astype(dtype)


def ids(length=T, pad=3, vocab=VOCAB, low=1):
    tokens = _rng.integers(low, vocab, (B, length)).astype("int32")
    return tokens * mask(length, pad)  # 0 where padded


def images(*shape):
    return _rng.uniform(0, 1, (B, *shape)).astype("float32")


def text(length=T, pad=3, **more):
    return {"token_ids": ids(length, pad), "padding_mask": mask(length, pad), **more}


def pair(length=T, pad=3, target=6, target_pad=2, dtype="int32"):
    return {
        "encoder_token_ids": ids(length, pad),
        "encoder_padding_mask": mask(length, pad, dtype),
        "decoder_token_ids": ids(target, target_pad),
        "decoder_padding_mask": mask(target, target_pad, dtype),
    }


def segments(length=T):
    return np.repeat(np.array([[0] * 4 + [1] * (length - 4)], "int32"), B, axis=0)


def random_labels(shape, classes=3):
    return _rng.integers(0, classes, shape).astype("int32")


def bert_like(name, **kwargs):
    return getattr(keras_hub.models, name)(
        num_layers=2, num_heads=2, hidden_dim=DIM, intermediate_dim=2 * DIM, **kwargs
    )
