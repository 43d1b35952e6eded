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

ENTRANCES = {
    "task": keras_nlp.models.BertTextClassifier,
    "base of tasks": keras_nlp.models.TextClassifier,
    "another task": keras_nlp.models.BertMaskedLM,
    "backbone": keras_nlp.models.BertBackbone,
    "base of backbones": keras_nlp.models.Backbone,
}


def main(folder):
    found = {}
    for name, entrance in ENTRANCES.items():
        options = {"preprocessor": None} if name == "another task" else {}
        model = entrance.from_preset(str(folder / "classifier"), **options)
        report = keras_align.alignment_report(model)
        found[name] = {
            "class": type(model).__name__,
            "weights": [row.alignment_weight for row in report.rows],
        }
        if name in ("task", "backbone"):
            model.compile(loss="mse")
            np.save(folder / f"{name}.npy", small_models.predict(model, "classifier"))
    new_head = ENTRANCES["task"].from_preset(str(folder / "classifier"), num_classes=3)
    found["new head"] = new_head.output_shape[-1]
    aligned = type(model).from_preset(str(folder / "classifier"), dtype="bfloat16")
    found["aligned class"] = [aligned.dtype_policy.name, type(aligned).__name__]
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
