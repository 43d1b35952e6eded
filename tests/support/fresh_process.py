"""Loads the models that `test_saving.py` saved, as a process of its own.

Usage: python fresh_process.py FOLDER
"""

import json
import pathlib
import sys
import warnings

import keras
import keras_nlp  # noqa: F401  (registers the classes of its models)
import numpy as np
import small_models

import keras_align


def main(folder):
    results = {}
    for file in sorted(folder.glob("*.keras")):
        name = file.stem
        with warnings.catch_warnings(action="ignore"):  # custom compile of keras-nlp
            model = keras.models.load_model(file)
        rows = keras_align.alignment_report(model).to_dicts()
        np.save(folder / f"{name}.loaded.npy", small_models.predict(model, name))
        losses = small_models.train(model, name) if model.compiled else None
        results[name] = {"rows": rows, "losses": losses}
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
