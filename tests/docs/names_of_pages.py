"""What the pages of docs/ leave to the reader: data, presets, models.

How a page is added: write `docs/NAME.md`, name it in a toctree of `docs/index.md`, and
test_pages.py runs its ```python blocks, in order, with one set of names, in an empty
folder. A block that imports and makes what it needs wants nothing here. Where a page
says that names are the reader's own (`preset`, `sentences`), a function below gives
small ones: it takes the folder that the page runs in and returns a dict of names. What
cannot run in a test (several machines, a shell) is ```bash or ```text.
"""

import keras
import numpy as np
import pytest

SENTENCES = ["a fine film", "a dull film", "not very good", "the film is good"] * 8


def classifier_of_sentences(folder):
    """The reader's `preset`, `sentences`, `labels`, and `classifier` made of it."""
    from small_classifiers import plain_classifier

    classifier = plain_classifier()
    classifier.save_to_preset(str(folder / "preset"))
    labels = np.array([1, 0, 0, 1] * 8)
    names = {"preset": str(folder / "preset"), "classifier": classifier}
    return names | {"sentences": list(SENTENCES), "labels": labels}


def first_page(folder):
    """What the four lines of the first page leave to the reader."""
    import keras_align

    names = classifier_of_sentences(folder)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    names["classifier"].compile("adam", loss, run_eagerly=True)
    return {**names, "keras_align": keras_align}


def readme(folder):
    """What the blocks of README.md leave to the reader."""
    import keras_nlp

    import keras_align

    names = classifier_of_sentences(folder)
    inputs = np.random.default_rng(0).integers(0, 1000, (32, 32))
    packages = {"keras_align": keras_align, "keras_nlp": keras_nlp}
    return {**names, **packages, "inputs": inputs}


def text_classifier(folder):
    """The reader's `classifier`, and `texts` with their `classes`."""
    from small_classifiers import plain_classifier

    texts, classes = ["a fine film", "a dull film"], [1, 0]
    return {"classifier": plain_classifier(), "texts": texts, "classes": classes}


def small_encoder():
    """A model with two attention layers of Keras, not compiled."""
    x = inputs = keras.Input((4, 8))
    for name in ("layer_0", "layer_1"):
        x = keras.layers.MultiHeadAttention(2, 4, name=name)(x, x)
    return keras.Model(inputs, x)


# Page -> function(folder) -> names.
NAMES = {
    "README.md": readme,
    "getting_started.md": classifier_of_sentences,
    "index.md": first_page,
    "symmetries.md": classifier_of_sentences,
    "export_and_serve.md": text_classifier,
    "trust.md": text_classifier,
}

# Page -> pairs (text in a block, text that the test runs instead): only where a number
# that is right for the reader is too large here. A text that is in no block fails.
REPLACED = {
    "README.md": [
        ("classifier.fit(", "classifier.run_eagerly = True; classifier.fit(")
    ],
    "does_it_help.md": [
        ("range(3)", "range(2)"),
        ("epochs=6", "epochs=1"),
        ("jit_compile=False", "run_eagerly=True"),
    ],
    "getting_started.md": [
        ('metrics=["accuracy"]', 'metrics=["accuracy"], run_eagerly=True')
    ],
    "graphs.md": [("jit_compile=True", "run_eagerly=True")],
    "scale_out_and_resume.md": [
        ("distribute(model)", "distribute(model, jit_compile=False)")
    ],
    "trust.md": [
        ("jit_compile=False", "run_eagerly=True"),
        ("epochs=10", "epochs=1"),
    ],
    "visual_questions.md": [
        ("jit_compile=False,", "run_eagerly=True,"),
        ("predictions(network, inputs)", "predictions(network, inputs, samples=3)"),
    ],
}

# Page -> marks: pytest.mark.slow for what takes longer than some seconds, and
# pytest.mark.filterwarnings for warnings that the reader sees, too.
SHUFFLE = "ignore:`shuffle=True` was passed"  # of Keras, for datasets of keras-hub
MARKS = {
    "README.md": pytest.mark.filterwarnings(SHUFFLE),
    "getting_started.md": pytest.mark.filterwarnings(SHUFFLE),
    "index.md": pytest.mark.filterwarnings(SHUFFLE),
    "export_and_serve.md": pytest.mark.filterwarnings("ignore"),  # of savers
}
