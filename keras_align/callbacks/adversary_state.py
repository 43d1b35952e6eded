"""How strong the adversary of an alignment is."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align import keras_internals
from keras_align.adapters.grouping import match_groups
from keras_align.alignments import AdversarialAlignment, Adversary, Alignment
from keras_align.alignments.standardizing import standardize
from keras_align.diagnostics.recording import AttentionRecord


def adversary_norm(alignment: Alignment) -> float | None:
    """Euclidean norm of what an alignment's adversaries train, `None` without one.

    Of the weights as they are stored, see `ScaledRateDense`.
    """
    layers = keras_internals.flattened(alignment)
    found = [x for x in layers if isinstance(x, Adversary)]
    if not found:
        return None
    weights = [weight for each in found for weight in each.trainable_weights]
    squares = (np.sum(np.square(_array(weight))) for weight in weights)
    return float(np.sqrt(sum(squares)))


class DiscriminatorAccuracy:
    """How often the discriminator of "gan" tells queries from keys, head by head.

    Queries and keys count the same; a logit of 0 is half right. They are standardised
    as in training, over all tokens of a sample.

    Args:
        alignment: `AdversarialAlignment`.
        num_key_heads: int, K; the N / K query heads of a group are judged together.
    """

    def __init__(self, alignment: AdversarialAlignment, num_key_heads: int) -> None:
        self.alignment, self.num_key_heads = alignment, num_key_heads
        self._group, self._sums = 1, {1.0: 0.0, -1.0: 0.0}
        self._counts = dict.fromkeys(self._sums, 0)

    def add(self, record: AttentionRecord) -> None:
        """Adds the real tokens of a batch."""
        heads = record.query.shape[2]
        of_keys = self.num_key_heads if heads % self.num_key_heads == 0 else heads
        self._group = heads // of_keys
        arrays = record.query, record.key, record.query_mask, record.key_mask
        query, key, query_mask, key_mask = map(ops.convert_to_tensor, arrays)
        query, key, *masks = match_groups(query, key, query_mask, key_mask, of_keys)
        pair = standardize(query, key, *masks)
        for sign, x, mask in zip(self._sums, pair, masks, strict=True):
            logits = _array(self.alignment.discriminator.network(x))  # (B, T, K)
            right = 0.5 + 0.5 * np.sign(sign * logits)
            real = ops.convert_to_numpy(mask)
            self._sums[sign] = self._sums[sign] + right[real].sum(axis=0)
            self._counts[sign] += int(real.sum())

    def result(self) -> np.ndarray:
        """float64 `(N,)`, in [0, 1]."""
        means = [self._sums[sign] / self._counts[sign] for sign in self._sums]
        return np.repeat(0.5 * (means[0] + means[1]), self._group)


def discriminator_accuracy(layer: Any, num_key_heads: int) -> Any:
    """A `DiscriminatorAccuracy` of a layer that is aligned by "gan", else `None`."""
    alignment = getattr(layer, "alignment", None)
    if not isinstance(alignment, AdversarialAlignment):
        return None
    return DiscriminatorAccuracy(alignment, num_key_heads)


def _array(variable: keras.Variable | Any) -> np.ndarray:
    tensor = ops.convert_to_tensor(variable)
    return ops.convert_to_numpy(ops.cast(tensor, "float32")).astype("float64")
