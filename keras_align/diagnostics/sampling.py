"""Predictions that differ by what attention dropout drops."""

import contextlib
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_align import keras_internals
from keras_align.conversion.finding import find_attention
from keras_align.conversion.supported import adapter_of
from keras_align.validation import checks


def sample_predictions(
    model: keras.Model,
    inputs: Any,
    samples: int = 20,
    batch_size: int | None = None,
    seed: int = 0,
) -> Any:
    """Predicts several times with attention dropout on, and everything else off.

    Attention weights are dropped as in training, so that predictions differ where the
    model depends on single weights; other dropout, batch statistics and the alignment
    stay as in `predict`. The paper samples attention weights for `PAvPU` too, and does
    not say how: its soft and its alignment attention are deterministic. Dropout is what
    a deterministic attention has (Gal and Ghahramani, 2016). The model is afterwards as
    it was, the states of its random numbers included.

    Args:
        model: `keras.Model` with attention that `align_model` can convert, plain or
            aligned, with a dropout of attention weights above 0.
        inputs: what `model.predict` takes; data in batches are read once.
        samples: int > 0. Defaults to `20`.
        batch_size: as in `model.predict`.
        seed: int >= 0; the same one gives the same samples. Defaults to `0`.

    Returns:
        NumPy array `(B, samples, ...)` for outputs `(B, ...)`, or the nested structure
        of the model's outputs with such arrays.

    Raises:
        ValueError: if an argument is wrong, or the model drops no attention weights.

    Example:

    >>> inputs = keras.Input((4, 8))
    >>> x = keras.layers.MultiHeadAttention(2, 4, dropout=0.1)(inputs, inputs)
    >>> model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x))
    >>> keras_align.sample_predictions(model, np.ones((3, 4, 8)), samples=5).shape
    (3, 5, 8)
    """
    checks.positive_integer("samples", samples)
    checks.count("seed", seed)
    dropouts = _dropouts(model)
    used: list[bool] = []
    numbers = np.random.SeedSequence(seed).generate_state(len(dropouts) + 1)
    seeds = numbers >> 1  # in int32, as PyTorch holds them
    with contextlib.ExitStack() as stack:
        stack.enter_context(keras_internals.fresh_functions(model))
        stack.enter_context(_seeded_backend(int(seeds[-1])))
        for each, of_layer in zip(dropouts, seeds, strict=False):
            stack.enter_context(each.kept(int(of_layer), lambda: used.append(True)))
        batches = [
            _stacked(
                model.predict(batch, batch_size=batch_size, verbose=0)
                for _ in range(samples)
            )
            for batch in _read_once(inputs)
        ]
    if not used:
        raise ValueError(
            f"Argument `model`: the attention of '{model.name}' drops no weights in "
            "inference, as that of a fused kernel, so there is nothing to sample."
        )
    return tree.map_structure(lambda *each: np.concatenate(each), *batches)


def _read_once(inputs):
    """Arrays as they are, and data that come in batches as data of one batch each.

    Data that shuffle themselves have another order in every pass.
    """
    if hasattr(inputs, "shape") or isinstance(inputs, dict | list | tuple):
        return [inputs]
    if hasattr(inputs, "from_tensors"):  # a tf.data.Dataset
        return map(inputs.from_tensors, inputs)
    if isinstance(inputs, keras.utils.PyDataset):
        return (_Batch(inputs[k]) for k in range(inputs.num_batches))
    return map(_Batch, inputs)  # a generator, or a DataLoader


class _Batch(keras.utils.PyDataset):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch if isinstance(batch, tuple) else (batch,)

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


def _stacked(results):
    return tree.map_structure(lambda *each: np.stack(each, axis=1), *results)


@contextlib.contextmanager
def _seeded_backend(seed):
    """On PyTorch, from whose own generator dropout without a seed draws."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _dropouts(model):
    found, _ = find_attention(model)
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Argument `model` must be a keras.Model. Received: model={model!r}"
        )
    each_layer = [adapter_of(x.layer).attention_dropouts(x.layer) for x in found]
    dropouts = [dropout for of_layer in each_layer for dropout in of_layer]
    if not dropouts:
        raise ValueError(
            "Argument `model` must have attention with a dropout of its weights above "
            f"0. Received: '{model.name}' with {len(found)} supported attention layers"
        )
    return dropouts
