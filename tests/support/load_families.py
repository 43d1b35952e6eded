"""Loads models of keras-hub's families in a process that imports keras_align alone.

Usage: python load_families.py FOLDER

Beside every `.keras` file lie the inputs and what is expected, as
`test_keras_hub_everywhere.py` wrote them.
"""

import json
import pathlib
import pickle
import sys

import keras
import keras_hub  # noqa: F401  (registers the classes of its models)
import numpy as np
from keras import ops, tree

import keras_align


def floats(model, inputs):
    """The outputs of a model, those that are float tensors, as one long vector."""
    values = [x for x in tree.flatten(model(inputs)) if hasattr(x, "dtype")]
    values = [ops.convert_to_numpy(ops.cast(x, "float32")).ravel() for x in values]
    return np.concatenate(values)


def what_is_aligned(model):
    """The rows of the report without what Keras names anew in each process."""
    rows = keras_align.alignment_report(model).to_dicts()
    return [{key: row[key] for key in row if key != "path"} for row in rows]


def main(folder):
    results = {}
    for file in sorted(folder.glob("*.keras")):
        inputs, values = pickle.loads(file.with_suffix(".pickle").read_bytes())
        try:
            model = keras.models.load_model(file)
            different = float(np.max(np.abs(floats(model, inputs) - values)))
            results[file.stem] = what_is_aligned(model), different
        except Exception as error:
            results[file.stem] = f"{type(error).__name__}: {error}"[:1500], None
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
