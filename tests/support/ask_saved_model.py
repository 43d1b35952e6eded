"""Asks a SavedModel about texts, in a process that has TensorFlow and its texts only.

Usage: python ask_saved_model.py FOLDER FILE.json, where the file holds a list of texts.
Prints what both signatures answer, as JSON.
"""

import json
import pathlib
import sys
import types

FOREIGN = "keras", "keras_nlp", "keras_hub", "keras_align", "jax", "torch"
sys.modules.update(dict.fromkeys(FOREIGN))  # importing them is an error
# The layers of tensorflow-text, which alone ask for Keras when it is imported.
sys.modules["tensorflow_text.python.keras"] = types.ModuleType("layers")

import tensorflow as tf  # noqa: E402
import tensorflow_text  # noqa: E402, F401  (registers the operations of tokenizers)


def main(folder, file):
    texts = json.loads(pathlib.Path(file).read_text())
    model = tf.saved_model.load(folder)
    found = model.signatures["serving_default"](text=tf.constant(texts))
    answers = {name: value.numpy().tolist() for name, value in found.items()}
    answers["labels"] = [label.decode() for label in answers["labels"]]
    answers["signatures"] = sorted(model.signatures)
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
