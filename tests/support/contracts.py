"""What every aligned attention layer must do with every alignment.

`test_aligned_*.py` applies each function of `CONTRACT` to each layer and alignment.
"""

import dataclasses

import keras
import numpy as np
import pytest
from execution import BACKEND, QUICK_STEP, array, dtype_of
from keras import layers

import keras_align

ALIGNMENTS = ("ct", "gan", "ot", "mmd")
# Highway (4) and perceptron (4) of the critic or discriminator, navigator (4).
OWN_WEIGHTS = {"ct": 12, "gan": 8, "ot": 0, "mmd": 0, None: 0}


@dataclasses.dataclass(frozen=True)
class Subject:
    """An aligned layer, its plain parent, and the arguments that both take."""

    aligned: type
    plain: type
    arguments: dict

    def make(self, alignment="ct", **options):
        return self.aligned(**self.arguments, alignment=alignment, **options)

    def make_plain(self, **options):
        return self.plain(**self.arguments, **options)

    def pair(self, alignment, *inputs, call=None, **options):
        """An aligned layer and a plain one with the same weights, both built."""
        aligned, plain = self.make(alignment, **options), self.make_plain(**options)
        aligned(*inputs, **(call or {})), plain(*inputs, **(call or {}))
        copy_weights(aligned, plain)
        return aligned, plain


MULTI_HEAD = Subject(
    keras_align.AlignedMultiHeadAttention,
    layers.MultiHeadAttention,
    {"num_heads": 2, "key_dim": 4},
)
GROUPED_QUERY = Subject(
    keras_align.AlignedGroupedQueryAttention,
    layers.GroupQueryAttention,
    {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2},
)
SUBJECTS = {"multi_head": MULTI_HEAD, "grouped_query": GROUPED_QUERY}


def tokens(length=5, batch=3, size=8, seed=0):
    """Token features `(B, T, E)`."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, length, size)).astype("float32")


def copy_weights(aligned, plain):
    """Gives the plain layer the aligned one's weights, by their names."""
    by_name = {name_within(w, aligned): w for w in aligned.weights}
    for weight in plain.weights:
        weight.assign(by_name[name_within(weight, plain)])


def name_within(weight, layer):
    return weight.path.removeprefix(f"{layer.name}/")


def functional(layer, length=5, size=8):
    """Functional model of one self-attention layer."""
    inputs = keras.Input((length, size))
    return keras.Model(inputs, layer(inputs, inputs))


def builds(subject, alignment):
    """Weights: the plain layer's, of the same names, and the alignment's own."""
    layer, plain = subject.make(alignment), subject.make_plain()
    layer.build((3, 5, 8), (3, 5, 8))
    plain.build((3, 5, 8), (3, 5, 8))
    names = [name_within(weight, layer) for weight in layer.weights]
    of_plain = {name_within(weight, plain) for weight in plain.weights}
    assert len(names) == len(set(names)) == len(of_plain) + OWN_WEIGHTS[alignment]
    assert of_plain <= set(names)
    assert len(layer.trainable_weights) == len(names)
    assert not layer.non_trainable_weights


def calls_symbolically(subject, alignment):
    """Shapes of symbolic, computed and eager outputs agree; nothing is added."""
    layer = subject.make(alignment)
    inputs, others = keras.Input((5, 8)), keras.Input((7, 8))
    symbolic = layer(inputs, others)
    assert symbolic.shape == layer.compute_output_shape((None, 5, 8), (None, 7, 8))
    assert not layer.losses
    output = layer(tokens(5), tokens(7))
    assert output.shape == (3, *symbolic.shape[1:])
    assert dtype_of(output) == symbolic.dtype


def serialises(subject, alignment):
    """The config makes an equal layer, of the same divergence for equal weights."""
    layer = subject.make(alignment, alignment_weight=0.25, name="given")
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is subject.aligned and again.name == "given"
    assert again.get_config() == layer.get_config()
    assert again.alignment_weight == 0.25
    assert type(again.alignment) is type(layer.alignment)
    x = tokens()
    layer(x, x), again(x, x)
    again.set_weights(layer.get_weights())
    outputs = (array(each(x, x, training=True)) for each in (again, layer))
    np.testing.assert_array_equal(*outputs)
    losses = (list(map(array, each.losses)) for each in (again, layer))
    np.testing.assert_array_equal(*losses)


def survives_every_policy(subject, alignment):
    """Outputs of the policy, a float32 loss and own weights, also for large inputs."""
    policies = ("mixed_float16", "mixed_bfloat16", "bfloat16", "float64")
    for policy in policies[: 3 if BACKEND == "jax" else 4]:  # it has no float64
        layer = subject.make(alignment, dtype=policy)
        x = keras.ops.cast(100.0 * tokens(), layer.compute_dtype)
        assert dtype_of(layer(x, x, training=True)) == layer.compute_dtype
        own = [] if alignment is None else layer.alignment.weights
        for weight in layer.weights:
            is_own = any(weight is each for each in own)
            assert weight.dtype == ("float32" if is_own else layer.variable_dtype)
        for loss in layer.losses:
            assert dtype_of(loss) == "float32" and np.isfinite(array(loss))


def adds_its_loss_in_training_only(subject, alignment):
    """One loss in a training call, none in any other."""
    layer = subject.make(alignment)
    x = tokens()
    for training in (None, False):
        layer(x, x, training=training)
        assert not layer.losses
    layer(x, x, training=True)
    assert len(layer.losses) == (alignment is not None)
    layer(x, x, training=False)
    assert not layer.losses


def fits(subject, alignment):
    """fit trains the alignment and logs it; evaluate and predict know nothing of it."""
    layer = subject.make(alignment, alignment_weight=1.0)
    model = functional(layer)
    x, y = tokens(), tokens(seed=1)
    model.compile(keras.optimizers.Adam(1e-2), "mse", **QUICK_STEP)
    before = layer.get_weights()
    history = model.fit(x, y, epochs=2, verbose=0, validation_data=(x, y)).history
    own = {"alignment_loss"} if alignment else set()
    assert set(history) == {"loss", "val_loss"} | own
    assert all(len(values) == 2 for values in history.values())
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == {"loss"}
    error = np.mean((model.predict(x, verbose=0) - y) ** 2)
    assert history["val_loss"][1] == pytest.approx(error, rel=1e-5)
    after = layer.get_weights()
    still = [
        weight.path
        for weight, old, new in zip(layer.weights, before, after, strict=True)
        if np.array_equal(old, new)
    ]
    assert not still


CONTRACT = (
    builds,
    calls_symbolically,
    serialises,
    survives_every_policy,
    adds_its_loss_in_training_only,
    fits,
)


def _cases(quick):
    """Parameters for every contract and alignment; what is not in `quick` is slow."""
    cases = []
    for contract in CONTRACT:
        for alignment in (*ALIGNMENTS, None):
            long = BACKEND == "jax" and contract is fits
            is_quick = alignment in (("mmd", None) if long else quick)
            marks = [] if is_quick else [pytest.mark.slow]
            name = f"{contract.__name__}-{alignment}"
            cases.append(pytest.param(contract, alignment, marks=marks, id=name))
    return pytest.mark.parametrize(("contract", "alignment"), cases)


every_case = _cases(quick=(*ALIGNMENTS, None))
few_cases = _cases(quick=("mmd", None))  # of a layer that is much like another
