"""How a trained network does, also on a disturbed graph, and its confidence."""

import numpy as np
import scoring
from keras import ops

import keras_align
from keras_align.training import full_batch

NOISE = 0.5  # in units of the root mean square of the features
NEW_LINKS = 0.25  # of the links that are there
SEED = 7


def test(model, graph):
    """Returns the scores of a network on the nodes of validation and test.

    Returns:
        A dictionary of floats: `validation_accuracy`; `accuracy`, `nll` (negative
        log-likelihood), `ece` (expected calibration error, 10 bins); `scaled_ece` after
        temperature scaling on the validation nodes; `noisy_features` and `noisy_links`,
        the accuracies on the disturbed graphs.
    """
    logits = predict(model, graph)
    known, tested = graph.split["validation"], graph.split["test"]
    scaling = keras_align.TemperatureScaling()
    scaling.fit(logits[known], graph.labels[known])
    scores = score(logits[tested], graph.labels[tested])
    scaled = ops.convert_to_numpy(scaling(logits[tested]))
    disturbed = {
        "noisy_features": noisy_features(graph),
        "noisy_links": noisy_links(graph),
    }
    return {
        "validation_accuracy": score(logits[known], graph.labels[known])["accuracy"],
        **scores,
        "scaled_ece": score(scaled, graph.labels[tested])["ece"],
        **{
            name: score(predict(model, other)[tested], graph.labels[tested])["accuracy"]
            for name, other in disturbed.items()
        },
    }


def predict(model, graph):
    """Returns what a network says of the whole graph, its logits `(n, C)`."""
    return model.predict(full_batch(graph.inputs()), verbose=0)


def score(logits, labels):
    """Returns `accuracy`, `ece` and `nll` of logits, see `scoring.score`."""
    return scoring.score(scoring.softmax(logits), labels)


def noisy_features(graph):
    """Returns the graph with normal noise on all features, always the same."""
    rng = np.random.default_rng(SEED)
    features = graph.features.toarray() if graph.is_sparse else graph.features
    scale = NOISE * np.sqrt(np.mean(np.square(features)))
    noise = rng.standard_normal(features.shape, "float32") * scale
    return graph.changed(features=features + noise)


def noisy_links(graph):
    """Returns the graph with more links, between nodes drawn at random."""
    rng = np.random.default_rng(SEED)
    count = int(NEW_LINKS * len(graph.edges) / 2)
    links = rng.integers(0, len(graph.labels), (count, 2), dtype="int32")
    edges = np.concatenate([graph.edges, links, links[:, ::-1]])
    return graph.changed(edges=edges)
