"""Nothing of the alignment reaches a graph for inference."""

import contracts
import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import functional, tokens
from graph_operations import operations
from parameters import slow_but

pytestmark = pytest.mark.backends("tensorflow")

X = tokens(5)
every_layer = pytest.mark.parametrize(
    "subject", contracts.SUBJECTS.values(), ids=contracts.SUBJECTS
)


def inference_graph(model):
    function = tf.function(lambda x: model(x, training=False))
    return function.get_concrete_function(tf.TensorSpec((None, 5, 8)))


@every_layer
@pytest.mark.parametrize("alignment", slow_but(["ct"], [*contracts.ALIGNMENTS, None]))
@pytest.mark.parametrize("call", [{}, {"use_causal_mask": True}], ids=["all", "causal"])
def test_inference_graph_has_the_operations_of_keras(subject, alignment, call):
    def model(layer):
        inputs = keras.Input((5, 8))
        return keras.Model(inputs, layer(inputs, inputs, **call))

    aligned, plain = (
        inference_graph(model(layer))
        for layer in (subject.make(alignment), subject.make_plain())
    )
    assert operations(aligned) == operations(plain)


@pytest.mark.parametrize("name", slow_but(["multi_head"], contracts.SUBJECTS))
@pytest.mark.filterwarnings("ignore")  # of TensorFlow, about its own savers
def test_exported_model_has_the_operations_of_keras(name, tmp_path):
    """After training, through `ExportArchive`, loaded without Keras."""
    subject = contracts.SUBJECTS[name]
    aligned, plain = functional(subject.make("mmd")), functional(subject.make_plain())
    aligned.compile("sgd", "mse", jit_compile=False)
    aligned.fit(X, X, verbose=0)
    contracts.copy_weights(aligned.layers[-1], plain.layers[-1])
    served = {}
    for name, model in (("aligned", aligned), ("plain", plain)):
        model.export(tmp_path / name, verbose=False)
        loaded = tf.saved_model.load(tmp_path / name)
        served[name] = loaded.signatures["serving_default"]
    assert operations(served["aligned"]) == operations(served["plain"])
    (ours,), (theirs,) = (
        each(tf.constant(X)).values() for each in (served["aligned"], served["plain"])
    )
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(ours, plain(X), rtol=1e-5, atol=1e-6)
