"""Loads saved models in a process that cannot import some packages.

Usage: python load_without.py FOLDER PACKAGE ...

Every `.keras` file of the folder must predict what lies beside it. If nothing does, or
if it is the folder `preset`, `errors.json` gets the error that loading it raises.
"""

import importlib
import json
import pathlib
import sys


def main(folder, *forbidden):
    sys.modules.update(dict.fromkeys(forbidden))  # `None` forbids an import
    import keras
    import numpy as np

    if "keras_align" not in forbidden:
        importlib.import_module("keras_align")
    folder, errors = pathlib.Path(folder), {}
    for file in folder.glob("*.keras"):
        if not file.with_suffix(".outputs.npy").exists():
            errors[file.stem] = error_of(keras.models.load_model, file)
            continue
        model = keras.models.load_model(file)
        values = model(np.load(file.with_suffix(".inputs.npy")), training=False)
        values = keras.ops.convert_to_numpy(values)
        expected = np.load(file.with_suffix(".outputs.npy"))
        np.testing.assert_allclose(values, expected, rtol=1e-5)
    if (folder / "preset").exists():
        import keras_hub

        load = keras_hub.models.Backbone.from_preset
        errors["preset"] = error_of(load, str(folder / "preset"))
    (folder / "errors.json").write_text(json.dumps(errors))


def error_of(function, *arguments):
    """The message of the error that a call raises, or `None`."""
    try:
        function(*arguments)
    except Exception as error:
        return str(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
