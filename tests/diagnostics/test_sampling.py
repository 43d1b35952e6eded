"""`sample_predictions`: attention dropout on, everything else as in `predict`."""

import keras
import numpy as np
import pytest
from execution import array
from keras import ops

import keras_align

pytestmark = pytest.mark.slow_on("jax")
RATE = 0.5
X = np.random.default_rng(0).standard_normal((6, 5, 8)).astype("float32")


def network(rate=RATE, alignment=None, around=0.5):
    """Attention between two layers that also differ in training."""
    inputs = keras.Input((5, 8))
    x = keras.layers.Dropout(around)(inputs)
    x = keras_align.AlignedMultiHeadAttention(
        2, 4, dropout=rate, alignment=alignment, name="attention"
    )(x, x)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(inputs, x)


def variables(model):
    return [array(v) for v in model.variables]


@pytest.mark.filterwarnings("ignore:.*softmax over axis")
def test_attention_dropout_alone_is_on():
    # One token attends to itself: its weight 1 is either dropped or doubled.
    inputs = keras.Input((1, 8))
    x = keras.layers.Dropout(0.5)(inputs)
    layer = keras.layers.MultiHeadAttention(1, 4, dropout=RATE)
    model = keras.Model(inputs, layer(x, x))
    layer._output_dense.bias.assign(np.arange(8.0))
    outputs = keras_align.sample_predictions(model, X[:, :1], 40)
    assert outputs.shape == (6, 40, 1, 8)
    bias, plain = np.arange(8.0), model.predict(X[:, :1], verbose=0)[:, None]
    kept = np.isclose(outputs, 2.0 * plain - bias, atol=1e-5).all((-1, -2))
    dropped = np.isclose(outputs, bias, atol=1e-5).all((-1, -2))
    assert (kept | dropped).all()
    assert 0.3 < kept.mean() < 0.7


@pytest.mark.parametrize("alignment", [None, "ct"])
def test_the_model_stays_as_it_was(alignment):
    model = network(alignment=alignment)
    before, predicted = variables(model), model.predict(X, verbose=0)
    samples = keras_align.sample_predictions(model, X, 5)
    for ours, theirs in zip(variables(model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(model.predict(X, verbose=0), predicted)
    np.testing.assert_array_equal(array(model(X)), array(model(X)))
    assert np.std(samples, axis=1).mean() > 0.01


def test_samples_differ_and_a_seed_repeats_them():
    model = network()
    first, again, other = (
        keras_align.sample_predictions(model, X, 4, batch_size=4, seed=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first[:, 0], first[:, 1])


def test_their_mean_is_near_the_prediction_of_a_linear_model():
    model = network()
    samples = keras_align.sample_predictions(model, X, 60)
    gap = np.abs(samples.mean(1) - model.predict(X, verbose=0))
    assert gap.mean() < 0.2 * samples.std(1).mean()


def test_data_that_shuffle_are_read_once():
    model = network(rate=1e-6, around=0.0)
    batches = keras_align.training.ShuffledBatches(X, None, 2, drop_remainder=False)
    for data in (batches, ((X[k : k + 2],) for k in (0, 2, 4))):
        outputs = keras_align.sample_predictions(model, data, 3)
        assert outputs.shape == (6, 3, 5, 8)
        assert outputs.std(axis=1).max() < 1e-5


def test_several_outputs():
    inputs = keras.Input((5, 8))
    x = keras.layers.MultiHeadAttention(2, 4, dropout=RATE)(inputs, inputs)
    model = keras.Model(inputs, {"tokens": x, "mean": ops.mean(x, axis=1)})
    samples = keras_align.sample_predictions(model, X, 3)
    assert samples["tokens"].shape == (6, 3, 5, 8)
    np.testing.assert_allclose(samples["tokens"].mean(2), samples["mean"], atol=1e-5)


@pytest.mark.backends("tensorflow")
def test_replicas():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = network()
    outputs = keras_align.sample_predictions(model, X, 4)
    assert outputs.std(axis=1).max() > 0.0


def test_graph_attention():
    network = keras_align.models.GraphAttentionNetwork(4, 3)
    features = np.random.default_rng(1).standard_normal((6, 4)).astype("float32")
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [5, 0]], "int32")
    graph = {"features": features, "edges": edges}
    batch = keras_align.training.full_batch(graph)
    samples = keras_align.sample_predictions(network, batch, 6)
    assert samples.shape == (6, 6, 3)
    assert samples.std(1).max() > 0.0
    network = keras_align.models.GraphAttentionNetwork(4, 3, attention_dropout=0.0)
    with pytest.raises(ValueError, match="dropout of its weights"):
        keras_align.sample_predictions(network, batch, 6)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: network(rate=0.0), {}, "dropout of its weights"),
        (lambda: keras.Sequential([keras.Input((5, 8))]), {}, "0 supported"),
        (lambda: keras.layers.Dense(2), {}, "keras.Model"),
        (network, {"samples": 0}, "`samples`"),
        (network, {"seed": -1}, "`seed`"),
    ],
)
def test_what_cannot_be_sampled(make, options, message):
    with pytest.raises(ValueError, match=message):
        keras_align.sample_predictions(make(), X, **options)
