"""LoRA of keras-hub and alignment: every order of the steps, and LoRA files."""

import h5py
import keras
import keras_nlp
import numpy as np
import pytest
import small_models
from execution import BACKEND
from model_state import values

from keras_align.conversion import align_model, strip_alignment
from keras_align.diagnostics import alignment_report

pytestmark = pytest.mark.slow_on("jax")

RANK = 2
STEPS = {
    "align": lambda model: align_model(model, alignment_weight=1.0),
    "lora": lambda model: model.enable_lora(RANK),
    "strip": strip_alignment,
}
WITH_LORA = (
    "lora",
    "lora align",
    "align lora",
    "lora align strip",
    "align lora strip",
    "align strip lora",
    "align lora strip align",
)
WITHOUT_LORA = "", "align", "align strip"
SHAPE = small_models.LENGTH, small_models.WIDTH


@keras.saving.register_keras_serializable(package="test_lora")
class TwoLayers(keras_nlp.models.Backbone):
    """A backbone that is built in milliseconds."""

    def __init__(self, **kwargs):
        inputs = x = keras.Input(SHAPE)
        for name in ("first", "second"):
            x = keras.layers.MultiHeadAttention(2, 4, name=name)(x, x)
        super().__init__(inputs, x, **kwargs)


def backbone(steps):
    """A backbone after some steps, with the same weights in every run."""
    keras.utils.set_random_seed(0)
    model = TwoLayers()
    for step in steps.split():
        STEPS[step](model)
    return model


def lora_weights(model):
    """The LoRA weights of a model by their paths."""
    return {weight.path: weight for weight in model.weights if "lora" in weight.path}


def randomize(model):
    """Gives the LoRA weights values, as half of them are zero at the start."""
    generator = np.random.default_rng(0)
    for weight in lora_weights(model).values():
        weight.assign(generator.normal(size=weight.shape))


def assert_same_lora(model, expected):
    """Asserts that LoRA weights and predictions are those of another model."""
    weights, others = lora_weights(model), lora_weights(expected)
    assert weights.keys() == others.keys() and len(weights) == 8
    for path, weight in weights.items():
        np.testing.assert_array_equal(values(weight), values(others[path]))
    x = small_models.vectors()
    np.testing.assert_array_equal(values(model(x)), values(expected(x)))


def trained_paths(model):
    """Paths of the weights that a step of training moves."""
    before = [values(weight).copy() for weight in model.weights]
    model.compile("sgd", "mse", run_eagerly=BACKEND != "jax")
    x = small_models.vectors()
    model.fit(x, np.ones_like(x), verbose=0)
    return {
        weight.path
        for weight, old in zip(model.weights, before, strict=True)
        if not np.array_equal(values(weight), old)
    }


def names_in(file):
    """Names of the arrays in a LoRA file."""
    names = []
    with h5py.File(file) as opened:
        opened.visit(names.append)
    return names


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A plain backbone with LoRA, and its file."""
    model, file = backbone("lora"), tmp_path_factory.mktemp("lora") / "plain.lora.h5"
    randomize(model)
    model.save_lora_weights(file)
    return model, file


@pytest.mark.parametrize("steps", WITH_LORA)
def test_every_order_saves_the_file_of_a_plain_backbone_and_trains(
    tmp_path, plain, steps
):
    model, file = backbone(steps), tmp_path / "model.lora.h5"
    randomize(model)
    model.save_lora_weights(file)
    assert names_in(file) == names_in(plain[1])
    other = backbone("")
    other.load_lora_weights(file)
    assert_same_lora(other, plain[0])
    moved = trained_paths(model)
    aligned = {w.path for w in model.weights if "alignment" in w.path}
    biases = {f"{path.rsplit('/', 1)[0]}/bias" for path in lora_weights(model)}
    assert moved == {*lora_weights(model), *aligned, *biases}
    assert bool(aligned) == bool(alignment_report(model).aligned)


@pytest.mark.parametrize("steps", [*WITHOUT_LORA, *WITH_LORA])
def test_every_order_loads_the_file_of_a_plain_backbone(plain, steps):
    model = backbone(steps)
    model.load_lora_weights(plain[1])
    assert_same_lora(model, plain[0])
    notes = [row.note for row in alignment_report(model).aligned]
    assert not any(notes)  # none is frozen


def test_files_of_an_aligned_bert_fit_a_plain_one(tmp_path):
    file = tmp_path / "bert.lora.h5"
    model, other = small_models.backbone(), small_models.backbone()
    align_model(model).enable_lora(RANK)
    randomize(model)
    model.save_lora_weights(str(file))
    other.load_lora_weights(str(file))
    weights = [map(values, lora_weights(each).values()) for each in (model, other)]
    for value, expected in zip(*weights, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_failed_save_leaves_the_file(tmp_path):
    model, file = backbone("lora align"), tmp_path / "model.lora.h5"
    model.save_lora_weights(file)
    before = file.read_bytes()
    model._lora_enabled_layers = [*model._lora_enabled_layers, 99]
    with pytest.raises(IndexError):
        model.save_lora_weights(file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_messages_are_those_of_keras_hub(tmp_path):
    model = backbone("align")
    with pytest.raises(ValueError, match="no lora-enabled layers"):
        model.save_lora_weights(tmp_path / "model.lora.h5")
    model.enable_lora(RANK)
    with pytest.raises(ValueError, match=r"must end in `\.lora\.h5`"):
        model.save_lora_weights(tmp_path / "model.h5")
    assert list(tmp_path.iterdir()) == []
