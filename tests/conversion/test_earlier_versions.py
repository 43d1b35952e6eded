"""Files that earlier versions wrote still load, with the same predictions."""

import pathlib

import isolated
import keras
import keras_nlp
import numpy as np
import pytest
from execution import BACKEND

from keras_align.diagnostics import alignment_report

pytestmark = pytest.mark.slow_on("jax")

SAVED = pathlib.Path(isolated.__file__).parent / "saved_by_previews"
IDS = {
    "token_ids": np.arange(12).reshape(2, 6) % 30,
    "segment_ids": np.zeros((2, 6), int),
    "padding_mask": np.ones((2, 6), bool),
}


def alignments(model):
    return [row["alignment"] for row in alignment_report(model).to_dicts()]


def test_layers_of_previews():
    model = keras.models.load_model(SAVED / "layers.keras")
    data = np.random.default_rng(0).normal(size=(4, 5, 8)).astype("float32")
    expected = np.load(SAVED / "layers.npy")
    np.testing.assert_allclose(model.predict(data, verbose=0), expected, 1e-5, 1e-6)
    assert len(alignments(model)) == 5 and None not in alignments(model)
    model.run_eagerly = BACKEND != "jax"  # tracing takes long
    model.fit(data, np.zeros((4, 5, 2)), verbose=0)


@pytest.mark.parametrize("form", ["file", "preset"])
def test_containers_of_previews(form):
    if form == "file":
        backbone = keras.models.load_model(SAVED / "backbone.keras")
    else:
        preset = str(SAVED / "preset")
        backbone = keras_nlp.models.Backbone.from_preset(preset)
    output = backbone.predict(IDS, verbose=0)["sequence_output"]
    expected = np.load(SAVED / "backbone.npy")
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    assert alignments(backbone) == [
        "ConditionalTransport",
        "MaximumMeanDiscrepancy",
    ]
