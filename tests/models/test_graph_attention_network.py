"""`GraphAttentionNetwork`: training on one graph, files, conversion, precision."""

import keras
import numpy as np
import pytest
from execution import BACKEND, array
from parameters import slow_but

import keras_align
from keras_align.models import GraphAttentionNetwork
from keras_align.training import full_batch

NODES, SIZE, CLASSES = 30, 12, 3


def graph(seed=0):
    """A graph whose classes show in features and links, and its labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(NODES) % CLASSES
    features = rng.normal(size=(NODES, SIZE)).astype("float32")
    features[np.arange(NODES), labels] += 2.0
    links = rng.integers(0, NODES, (400, 2))
    links = links[labels[links[:, 0]] == labels[links[:, 1]]].astype("int32")
    return {"features": features, "edges": links}, labels


def train_weights():
    return (np.arange(NODES) < 15).astype("float32")


def compiled(model, jit=False, eager=False):
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=["accuracy"],
        jit_compile=jit,
        run_eagerly=eager,
    )
    return model


def small(**options):
    keras.utils.set_random_seed(1)
    return GraphAttentionNetwork(SIZE, CLASSES, **{"dropout": 0.2, **options})


def predict(model, inputs):
    return model.predict(full_batch(inputs), verbose=0)


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize(
    "alignment",
    [
        None,
        "ct",
        *(pytest.param(x, marks=pytest.mark.slow) for x in ("gan", "ot", "mmd")),
    ],
)
def test_it_learns_from_half_of_the_nodes(alignment):
    inputs, labels = graph()
    model = small()
    if alignment:
        keras_align.align_model(model, alignment)
    history = compiled(model, jit=alignment == "gan" and BACKEND != "torch").fit(
        full_batch(inputs, labels, train_weights()),
        validation_data=full_batch(inputs, labels, 1.0 - train_weights()),
        epochs=40,
        shuffle=False,
        verbose=0,
    )
    assert history.history["val_accuracy"][-1] > 0.8
    assert ("alignment_loss" in history.history) == (alignment is not None)
    assert "val_alignment_loss" not in history.history


@pytest.mark.slow_on("jax")
def test_nodes_without_weight_are_not_learned():
    inputs, labels = graph()
    changed = np.where(train_weights() > 0, labels, (labels + 1) % CLASSES)
    losses = []
    for targets in (labels, changed):
        batch = full_batch(inputs, targets, train_weights())
        losses.append(
            compiled(small(), eager=True)
            .fit(batch, epochs=3, shuffle=False, verbose=0)
            .history
        )
    assert losses[0] == losses[1]


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16", None])
def test_a_config_holds_the_dtype(dtype):
    model = small(dtype=dtype)
    keras_align.align_model(model, "gan")
    again = type(model).from_config(model.get_config())
    for layer in (model, again):
        found = layer.get_layer("logits").dtype_policy.name
        assert found == (dtype or keras.config.dtype_policy().name)


@pytest.mark.parametrize(
    ("targets", "weights", "message"),
    [
        (None, np.ones(NODES), "`sample_weight` needs `targets`"),
        (np.ones(NODES), np.arange(3), r"of shape \(30,\), a weight for each"),
        (np.ones(NODES), np.ones((NODES, 1)), r"`sample_weight` .* \(30, 1\)"),
        (np.ones(29), None, r"`targets` must have a row for each node. .*\(29,\)"),
    ],
)
def test_a_full_batch_that_does_not_fit_is_refused(targets, weights, message):
    with pytest.raises(ValueError, match=message):
        full_batch(graph()[0], targets, weights)


def test_a_list_of_inputs_is_one_of_arrays():
    inputs, labels = graph()
    nodes, edges = keras.Input((SIZE,)), keras.Input((2,), dtype="int32")
    model = keras.Model([nodes, edges], keras_align.GraphAttention(3)(nodes, edges))
    batch = full_batch([inputs["features"], inputs["edges"]], labels)
    assert compiled(model, eager=True).predict(batch, verbose=0).shape == (NODES, 3)


def test_other_keys_are_refused():
    model, inputs = small(), graph()[0]
    with pytest.raises(ValueError, match=r"keys \['edges', 'features'\]; masks need"):
        model(inputs | {"edge_mask": np.ones(len(inputs["edges"]), bool)})


def test_moments_cannot_be_matched():
    with pytest.raises(ValueError, match="scores are sums of queries and keys"):
        keras_align.match_moments(small(), graph()[0])


def test_measures_of_layers_with_different_heads_are_per_layer():
    found = keras_align.measure_alignment(small(), graph()[0], batch_size=None)
    assert {len(values) for values in found.per_layer.values()} == {1, 8}
    with pytest.raises(ValueError, match="`per_layer`"):
        _ = found.values


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("scoring", ["gat", "gatv2"])
@pytest.mark.parametrize("aligned", [False, True])
def test_a_file_holds_it(tmp_path, scoring, aligned):
    inputs, labels = graph()
    model = small(scoring=scoring, num_layers=3, regularizer="l2", seed=3, units=3)
    if aligned:
        keras_align.align_model(model, "ct")
    compiled(model, eager=True).fit(
        full_batch(inputs, labels, train_weights()), shuffle=False, verbose=0
    )
    model.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(predict(loaded, inputs), predict(model, inputs))
    rows = [keras_align.alignment_report(x).to_dicts() for x in (model, loaded)]
    assert rows[0] == rows[1]
    step = full_batch(inputs, labels, train_weights())
    losses = [x.evaluate(step, verbose=0) for x in (model, loaded)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    loaded.fit(step, shuffle=False, verbose=0)


def test_alignment_comes_and_goes_without_a_trace():
    inputs, _ = graph()
    model = small()
    paths, before = [w.path for w in model.weights], predict(model, inputs)
    keras_align.align_model(model, "gan")
    np.testing.assert_array_equal(predict(model, inputs), before)
    measures = [keras_align.measure_alignment(model, inputs, batch_size=None)]
    keras_align.strip_alignment(model)
    measures.append(keras_align.measure_alignment(model, inputs, batch_size=None))
    assert str(measures[0]) == str(measures[1])
    assert [w.path for w in model.weights] == paths
    np.testing.assert_array_equal(predict(model, inputs), before)


@pytest.mark.slow_on("jax")
def test_padding_changes_neither_logits_nor_loss():
    inputs, _ = graph()
    edges = len(inputs["edges"])
    padded = {
        "features": np.pad(inputs["features"], ((0, 10), (0, 0)), constant_values=9),
        "edges": np.pad(inputs["edges"], ((0, 20), (0, 0)), constant_values=NODES + 1),
        "node_mask": np.arange(NODES + 10) < NODES,
        "edge_mask": np.arange(edges + 20) < edges,
    }
    plain, masked = small(dropout=0.0), small(dropout=0.0, masked=True)
    masked.set_weights(plain.get_weights())
    outputs = predict(masked, padded)
    np.testing.assert_allclose(outputs[:NODES], predict(plain, inputs), rtol=1e-5)
    for model in (plain, masked):
        keras_align.align_model(
            model, keras_align.OptimalTransportAlignment(max_tokens=None)
        )
    losses = []
    for model, data in ((plain, inputs), (masked, padded)):
        for layer in model.layers[-2:]:
            layer.attention_dropout = layer.feature_dropout = 0.0
        model(data, training=True)
        losses.append([float(x) for x in model.losses])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4, atol=1e-8)


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize(
    "policy",
    slow_but(["mixed_bfloat16"], ["mixed_bfloat16", "mixed_float16", "float64"]),
)
def test_precisions(policy):
    if BACKEND == "jax" and policy != "mixed_bfloat16":
        pytest.skip("JAX has no float64 unless it is set, and no float16 on a CPU")
    inputs, labels = graph()
    model = compiled(keras_align.align_model(small(dtype=policy), "gan"))
    batch = full_batch(inputs, labels, train_weights())
    history = model.fit(batch, epochs=40, shuffle=False, verbose=0).history
    assert model.evaluate(batch, verbose=0, return_dict=True)["accuracy"] > 0.8
    assert np.isfinite(history["loss"]).all()


@pytest.mark.backends("tensorflow")
def test_a_saved_model_takes_any_graph(tmp_path):
    import tensorflow as tf

    inputs, _ = graph()
    model = keras_align.align_model(small(), "gan")
    with keras_align.without_alignment(model):
        model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    names = [v.name for v in served.variables]
    assert not [name for name in names if "alignment" in name]
    for count in (NODES, 7):
        kept = inputs["edges"][(inputs["edges"] < count).all(axis=1)]
        part = {"features": inputs["features"][:count], "edges": kept}
        tensors = {name: tf.constant(x) for name, x in part.items()}
        np.testing.assert_allclose(
            array(served.serve(tensors)), predict(model, part), rtol=1e-5, atol=1e-6
        )


@pytest.mark.slow_on("jax")
def test_the_schedule_reaches_its_layers():
    inputs, labels = graph()
    model = compiled(keras_align.align_model(small(), "mmd", 1.0))
    schedule = keras_align.AlignmentWeightSchedule(warmup_steps=4)
    batch = full_batch(inputs, labels, train_weights())
    factors = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, step, logs=None):
            factors.append(float(self.model.layers[-1].alignment_factor))

    model.fit(batch, epochs=5, shuffle=False, verbose=0, callbacks=[schedule, Record()])
    assert factors[0] < factors[2] < 1.0 == factors[-1]


@pytest.mark.parametrize("options", [{"num_classes": 0}, {"num_layers": 1.5}])
def test_what_is_wrong_is_named(options):
    arguments = {"num_features": 4, "num_classes": 2} | options
    with pytest.raises(ValueError, match=next(iter(options))):
        GraphAttentionNetwork(**arguments)


def test_edges_out_of_range_raise():
    inputs, _ = graph()
    with pytest.raises(ValueError, match=f"indices of the {NODES} nodes"):
        small()(inputs | {"edges": np.array([[0, NODES]], "int32")})
