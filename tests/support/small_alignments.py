"""The built-in alignments, and what small tests call them with."""

import numpy as np

import keras_align
from keras_align.alignments.scaled_rate_dense import ScaledRateDense

CLASSES = {
    "ct": keras_align.ConditionalTransportAlignment,
    "gan": keras_align.AdversarialAlignment,
    "mmd": keras_align.MaximumMeanDiscrepancyAlignment,
    "ot": keras_align.OptimalTransportAlignment,
}


def samples(batch=3, length=5, other=7, heads=2, size=4, seed=0):
    """Queries and keys that `standardize` leaves as they are."""
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(batch, length, heads, size)) + 0.5
    key = rng.normal(size=(batch, other, heads, size)) - 0.5
    center = 0.5 * (query.mean(1, keepdims=True) + key.mean(1, keepdims=True))
    query, key = query - center, key - center
    square = 0.5 * ((query**2).mean((1, 3)) + (key**2).mean((1, 3)))
    scale = np.sqrt(square)[:, None, :, None]
    return (query / scale).astype("float32"), (key / scale).astype("float32")


def with_random_weights(alignment):
    """Builds it; some weights start at zero, which would hide mistakes."""
    alignment.build((None, None, 2, 4), (None, None, 2, 4))
    alignment.built = True
    rng = np.random.default_rng(1)
    for layer in alignment._flatten_layers():
        if isinstance(layer, ScaledRateDense):
            scale = 0.5 / layer.learning_rate_multiplier
            layer.set_weights([rng.normal(0.0, scale, w.shape) for w in layer.weights])
    return alignment
