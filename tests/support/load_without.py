"""Loads saved models in a process that cannot import some packages.

Usage: python load_without.py FOLDER PACKAGE ...

Every `.keras` file of the folder must predict what lies beside it.
"""

import importlib
import pathlib
import sys


def main(folder, *forbidden):
    sys.modules.update(dict.fromkeys(forbidden))  # `None` forbids an import
    import keras
    import numpy as np

    if "keras_align" not in forbidden:
        importlib.import_module("keras_align")
    for file in pathlib.Path(folder).glob("*.keras"):
        model = keras.models.load_model(file)
        values = model(np.load(file.with_suffix(".inputs.npy")), training=False)
        values = keras.ops.convert_to_numpy(values)
        expected = np.load(file.with_suffix(".outputs.npy"))
        np.testing.assert_allclose(values, expected, rtol=1e-5)


if __name__ == "__main__":
    main(*sys.argv[1:])
