"""Loads the model that `test_layer_saving.py` saved, as a process of its own.

Usage: python load_layers.py FOLDER
"""

import json
import pathlib
import sys

import keras
import numpy as np

import keras_align  # noqa: F401  (registers the layers)


def main(folder):
    x = np.load(folder / "x.npy")
    model = keras.models.load_model(folder / "model.keras")
    by_weights = keras.models.model_from_json((folder / "model.json").read_text())
    by_weights.load_weights(folder / "model.weights.h5")
    for name, each in (("loaded", model), ("by_weights", by_weights)):
        np.save(folder / f"{name}.npy", keras.ops.convert_to_numpy(each(x)))
    logs = model.fit(x, x, epochs=2, shuffle=False, verbose=0).history
    (folder / "loaded.json").write_text(json.dumps(logs))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
