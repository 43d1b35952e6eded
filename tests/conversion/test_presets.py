"""Presets of aligned models, loaded by every class in a fresh process."""

import json

import isolated
import keras
import keras_nlp
import load_preset
import numpy as np
import pytest
import small_models
from execution import BACKEND
from keras_hub_models import FAMILIES

from keras_align.conversion import align_model, strip_alignment
from keras_align.diagnostics import alignment_report

WEIGHT = 0.25

pytestmark = [
    pytest.mark.slow_on("jax", "torch"),
    pytest.mark.filterwarnings("ignore:.*was passed an input with a mask"),
    pytest.mark.filterwarnings("ignore:.*looks like it has unbuilt state"),
    pytest.mark.filterwarnings("ignore:.*was called on layer"),
]


def classifier():
    """A classifier that takes strings."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = keras_nlp.models.BertTokenizer([*special, "a", "fine", "dull", "film"])
    preprocessor = keras_nlp.models.BertTextClassifierPreprocessor(
        tokenizer, small_models.LENGTH
    )
    return keras_nlp.models.BertTextClassifier(
        small_models.backbone(), 2, preprocessor=preprocessor, dropout=0.0
    )


@pytest.fixture(
    scope="module",
    params=[False, pytest.param(True, marks=pytest.mark.slow)],
    ids=["here", "in a fresh process"],
)
def preset(request, tmp_path_factory):
    """The folder of a saved classifier, the model, and what was found in there."""
    folder = tmp_path_factory.mktemp("presets")
    model = align_model(classifier(), "ct", WEIGHT, layers=0)
    model.save_to_preset(str(folder / "classifier"))
    if request.param:
        isolated.run("load_preset.py", folder)
    else:
        load_preset.main(folder)
    return folder, model, json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize(
    ("loader", "name"),
    [
        ("task", "BertTextClassifier"),
        ("base of tasks", "BertTextClassifier"),
        ("another task", "BertMaskedLM"),
        ("backbone", "BertBackbone"),
        ("base of backbones", "BertBackbone"),
    ],
)
def test_every_class_loads_an_aligned_model(preset, loader, name):
    _, _, found = preset
    assert found[loader] == {"class": name, "weights": [WEIGHT, None]}


def test_a_loaded_model_predicts_the_same(preset):
    folder, model, found = preset
    for name, each in (("task", model), ("backbone", model.backbone)):
        expected = small_models.predict(each, "classifier")
        np.testing.assert_allclose(np.load(folder / f"{name}.npy"), expected, 1e-6)
    assert found["new head"] == 3
    assert found["aligned class"] == ["bfloat16", "BertBackbone"]
    assert found["tokens"] == [[5, 6, 8]] * 2
    assert found["preprocessors"] == ["BertTextClassifierPreprocessor"] * 2


def test_a_task_fits_and_predicts_strings():
    model = align_model(classifier(), "ct")
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=BACKEND != "jax",
    )
    texts, labels = ["a fine film", "a dull film"] * 4, np.array([1, 0] * 4)
    logs = model.fit(np.array(texts), labels, batch_size=4, shuffle=False, verbose=0)
    logs = logs.history
    assert logs["alignment_loss"][0] != 0.0
    before = model.predict(texts, verbose=0)
    strip_alignment(model)
    np.testing.assert_array_equal(model.predict(texts, verbose=0), before)


def test_the_alignments_weights_are_in_the_preset(preset):
    folder, model, _ = preset
    load = keras_nlp.models.BertTextClassifier.from_preset
    loaded = load(str(folder / "classifier"))
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]
    for weight, expected in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected.numpy())
    again = folder / "again"
    loaded.save_to_preset(str(again))
    assert len(alignment_report(load(str(again))).aligned) == 1


def test_a_stripped_model_leaves_a_plain_preset(tmp_path):
    model = strip_alignment(align_model(classifier()))
    model.save_to_preset(str(tmp_path))
    for file in tmp_path.glob("*.json"):
        assert "keras_align" not in file.read_text()
    loaded = keras_nlp.models.BertTextClassifier.from_preset(str(tmp_path))
    assert not alignment_report(loaded).aligned


def test_a_backbone_saved_over_a_plain_task_leaves_its_file(tmp_path):
    classifier().save_to_preset(str(tmp_path))
    before = (tmp_path / "task.json").read_text()
    align_model(small_models.backbone()).save_to_preset(str(tmp_path))
    assert (tmp_path / "task.json").read_text() == before
    loaded = keras_nlp.models.BertBackbone.from_preset(str(tmp_path))
    assert len(alignment_report(loaded).aligned) == 2


def test_plain_presets_are_read_as_before(tmp_path):
    model = classifier()
    model.save_to_preset(str(tmp_path))
    loaded = keras_nlp.models.TextClassifier.from_preset(str(tmp_path))
    assert type(loaded) is type(model)
    assert type(loaded.backbone) is keras_nlp.models.BertBackbone


def test_a_backbone_that_could_not_be_found_again_is_refused(tmp_path):
    class Own(keras_nlp.models.BertBackbone):
        pass

    plain = small_models.backbone()
    model = align_model(Own.from_config(plain.get_config()))
    with pytest.raises(NotImplementedError, match="strip_alignment"):
        model.save_to_preset(str(tmp_path / "preset"))
    assert not (tmp_path / "preset").exists()


@pytest.mark.parametrize(
    "name",
    [
        "vit",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("t5", "llama", "xlnet", "pali_gemma", "segformer", "d_fine")
        ),
    ],
)
def test_a_backbone_of_another_family(tmp_path, name):
    model, _ = FAMILIES[name]()
    align_model(model, "mmd", WEIGHT)
    model.save_to_preset(str(tmp_path))
    loaded = keras_nlp.models.Backbone.from_preset(str(tmp_path))
    assert type(loaded) is type(model)
    wanted, found = (alignment_report(each).rows for each in (model, loaded))
    assert [r.alignment_weight for r in found] == [r.alignment_weight for r in wanted]


def test_a_task_of_a_user(tmp_path):
    @keras.saving.register_keras_serializable(package="test_presets")
    class Own(keras_nlp.models.BertTextClassifier):
        pass

    model = Own(align_model(small_models.backbone()), num_classes=2)
    model.save_to_preset(str(tmp_path))
    loaded = Own.from_preset(str(tmp_path))
    assert type(loaded) is Own
    assert len(alignment_report(loaded).aligned) == 2


def test_the_class_that_a_preset_names_stands_for_the_plain_one():
    alias = keras.saving.get_custom_objects()["keras_align>BertBackbone"]
    plain = keras_nlp.models.BertBackbone
    assert alias == plain and plain == alias
    assert hash(alias) == hash(plain) and issubclass(alias, plain)
    assert alias != keras_nlp.models.RobertaBackbone
