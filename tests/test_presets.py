"""Presets of aligned models, entered from every class in a fresh process."""

import json

import isolated
import keras
import keras_nlp
import numpy as np
import pytest
import small_models

from keras_align.conversion import align_model, alignment_report, strip_alignment

WEIGHT = 0.25


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """The folder of a saved classifier, the model, and what a fresh process found."""
    folder = tmp_path_factory.mktemp("presets")
    model = align_model(small_models.classifier(), "ct", WEIGHT, layers=0)
    model.save_to_preset(str(folder / "classifier"))
    isolated.run("load_preset.py", folder)
    return folder, model, json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize(
    ("entrance", "name"),
    [
        ("task", "BertTextClassifier"),
        ("base of tasks", "BertTextClassifier"),
        ("another task", "BertMaskedLM"),
        ("backbone", "BertBackbone"),
        ("base of backbones", "BertBackbone"),
    ],
)
def test_every_entrance_leads_to_an_aligned_model(preset, entrance, name):
    _, _, found = preset
    assert found[entrance] == {"class": name, "weights": [WEIGHT, None]}


def test_a_loaded_model_predicts_the_same(preset):
    folder, model, found = preset
    for name, part in (("task", model), ("backbone", model.backbone)):
        expected = small_models.predict(part, "classifier")
        np.testing.assert_allclose(np.load(folder / f"{name}.npy"), expected, 1e-6)
    assert found["new head"] == 3
    assert found["aligned class"] == ["bfloat16", "BertBackbone"]


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
    model = strip_alignment(align_model(small_models.classifier()))
    model.save_to_preset(str(tmp_path))
    for file in tmp_path.glob("*.json"):
        assert "keras_align" not in file.read_text()
    loaded = keras_nlp.models.BertTextClassifier.from_preset(str(tmp_path))
    assert not alignment_report(loaded).aligned


def test_a_preset_written_over_another_does_not_mix_them(tmp_path):
    """The task's file of a plain model stays when an aligned backbone is saved."""
    small_models.classifier().save_to_preset(str(tmp_path))
    align_model(small_models.backbone()).save_to_preset(str(tmp_path))
    task = json.loads((tmp_path / "task.json").read_text())
    assert task["registered_name"] == "keras_hub>BertTextClassifier"
    loaded = keras_nlp.models.BertBackbone.from_preset(str(tmp_path))
    assert len(alignment_report(loaded).aligned) == 2


def test_plain_presets_are_read_as_before(tmp_path):
    model = small_models.classifier()
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


def test_classes_that_presets_name_make_models_of_keras_hub():
    entrance = keras.saving.get_custom_objects()["keras_align>BertTextClassifier"]
    model = entrance(backbone=align_model(small_models.backbone()), num_classes=2)
    assert type(model) is keras_nlp.models.BertTextClassifier
