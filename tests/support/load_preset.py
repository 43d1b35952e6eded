"""Loads the presets that `test_presets.py` saved, as a process of its own.

Usage: python load_preset.py FOLDER
"""

import json
import pathlib
import sys

import keras_nlp
import numpy as np
import small_models

import keras_align

LOADERS = {
    "task": keras_nlp.models.BertTextClassifier,
    "base of tasks": keras_nlp.models.TextClassifier,
    "another task": keras_nlp.models.BertMaskedLM,
    "backbone": keras_nlp.models.BertBackbone,
    "base of backbones": keras_nlp.models.Backbone,
}


def main(folder):
    found, preset = {}, str(folder / "classifier")
    for name, loader in LOADERS.items():
        model = loader.from_preset(preset)
        report = keras_align.alignment_report(model)
        found[name] = {
            "class": type(model).__name__,
            "weights": [row.alignment_weight for row in report.rows],
        }
        if name in ("task", "backbone"):
            model.compile(loss="mse")
            np.save(folder / f"{name}.npy", small_models.predict(model, "classifier"))
    new_head = LOADERS["task"].from_preset(preset, num_classes=3)
    found["new head"] = new_head.output_shape[-1]
    aligned = type(model).from_preset(preset, dtype="bfloat16")
    found["aligned class"] = [aligned.dtype_policy.name, type(aligned).__name__]
    models = keras_nlp.models
    found["tokens"] = [
        np.asarray(cls.from_preset(preset)("a fine film")).tolist()
        for cls in (models.BertTokenizer, models.Tokenizer)
    ]
    found["preprocessors"] = [
        type(cls.from_preset(preset)).__name__
        for cls in (
            models.BertTextClassifierPreprocessor,
            models.TextClassifierPreprocessor,
        )
    ]
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
