"""Every format of `model.export`, inside `without_alignment`, as of the plain model.

What a format cannot do on a backend it cannot do with the plain model either.
"""

import importlib.util

import keras
import numpy as np
import pytest
from execution import BACKEND

from keras_align import align_model, without_alignment

LENGTH = 8
NAMES = "token_ids", "segment_ids", "padding_mask"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the exporters
]


def model():
    import keras_nlp

    keras.utils.set_random_seed(0)
    backbone = keras_nlp.models.BertBackbone(40, 2, 2, 16, 32, max_sequence_length=16)
    return keras_nlp.models.BertTextClassifier(backbone, 2, preprocessor=None)


def inputs(samples=3):
    draw = np.random.default_rng(0).integers(1, 40, (samples, LENGTH)).astype("int32")
    mask = (np.arange(LENGTH)[None] < [[LENGTH], [3], [5]]).astype("int32")
    return dict(zip(NAMES, (draw, np.zeros_like(draw), mask[:samples]), strict=True))


def signature(samples):
    return [
        {
            name: keras.InputSpec(shape=(samples, LENGTH), dtype="int32", name=name)
            for name in NAMES
        }
    ]


def saved_model(path, x):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return loaded.serve({name: tf.constant(value) for name, value in x.items()})


def litert(path, x):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    run = interpreter.Interpreter(path).get_signature_runner()
    return next(iter(run(**x).values()))


def onnx(path, x):
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    names = [each.name for each in session.get_inputs()]
    return session.run(None, {name: x[name] for name in names})[0]


def exported_program(path, x):
    import torch

    program = torch.export.load(path)
    assert not [name for name in program.state_dict if "alignment" in name]
    return program.module()({k: torch.tensor(v) for k, v in x.items()}).detach()


FORMATS = {
    "tf_saved_model": ("model", saved_model),
    "litert": ("model.tflite", litert),
    "onnx": ("model.onnx", onnx),
    "torch": ("model.pt2", exported_program),
}
# What Keras, or a converter under it, refuses, plain or aligned, and how it says so.
REFUSED = {
    ("tensorflow", "torch"): "requires PyTorch",
    ("jax", "litert"): "requires TensorFlow or PyTorch",
    ("jax", "torch"): "requires PyTorch",
    ("torch", "tf_saved_model"): "has no attribute 'shape'",
    ("torch", "onnx"): "Cannot insert a Tensor that requires grad",
}
# Converters that are not among the packages of the tests, and what says so.
CONVERTERS = {
    ("jax", "onnx"): ("jax2onnx", "jax2onnx"),
    ("tensorflow", "onnx"): ("tf2onnx", "onnx"),
    ("torch", "litert"): ("litert_torch", "litert-torch"),
}
for place, (package, message) in CONVERTERS.items():
    if importlib.util.find_spec(package) is None:
        REFUSED[place] = message


@pytest.mark.parametrize("samples", [None, 3], ids=["any", "fixed"])
@pytest.mark.parametrize("kind", FORMATS)
def test_an_aligned_model_is_exported_as_the_plain_one(tmp_path, kind, samples):
    name, run = FORMATS[kind]
    plain, aligned = model(), align_model(model())
    place = BACKEND, kind
    if place in {("torch", "torch"), ("jax", "onnx")}:
        samples = 3  # what was exported with an open size fails when it is run
    if place == ("torch", "litert") and place not in REFUSED:
        pytest.skip("fails for some sizes and not for others, plain too")
    options = {"format": kind, "verbose": False, "input_signature": signature(samples)}
    if place in REFUSED:
        for each in (plain, aligned):
            with pytest.raises(Exception, match=REFUSED[place]):
                export(each, tmp_path / name, options)
        return
    x, answers = inputs(), []
    for each in (plain, aligned):
        export(each, tmp_path / name, options)
        answers.append(np.asarray(run(str(tmp_path / name), x)))
    np.testing.assert_array_equal(*answers)
    wanted = keras.ops.convert_to_numpy(plain(x, training=False))
    np.testing.assert_allclose(answers[1], wanted, rtol=1e-4, atol=1e-6)


def export(each, path, options):
    each(inputs())  # some formats want a model that was called
    with without_alignment(each):
        each.export(str(path), **options)
