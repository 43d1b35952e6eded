"""What a conversion may change in a model and its inverse must restore."""

import json

import keras

from keras_align.diagnostics import alignment_report

# Attributes that fit, evaluate and predict leave on any Keras model.
TRACES = {"history", "stop_predicting", "stop_evaluating", "_eval_epoch_iterator"}
TRACES |= {"_torch_params", "_jax_state"}


def state(model):
    """Classes, names, attributes, weights, metrics, losses and config of a model."""
    layers = model._flatten_layers()
    return {
        "classes": [type(each) for each in layers],
        "names": [(each.name, each.path) for each in layers],
        "attributes": [sorted(set(vars(each)) - TRACES) for each in layers],
        "weights": [(w.path, w.trainable, values(w).tolist()) for w in model.weights],
        "trainable": [id(w) for w in model.trainable_weights],
        "metrics": [metric.name for metric in model.metrics],
        "losses": len(model.losses),
        "config": json.dumps(keras.saving.serialize_keras_object(model)),
    }


def values(variable):
    """The values of a variable as an array, on every backend."""
    return keras.ops.convert_to_numpy(variable)


def aligned_paths(model):
    """Paths of the aligned layers of a model."""
    return [row.path for row in alignment_report(model).aligned]


def rows(model):
    """The rows of the report as dictionaries."""
    return alignment_report(model).to_dicts()


def nameless(rows):
    """Rows without what Keras names anew in each process."""
    return [{key: row[key] for key in row if key != "path"} for row in rows]
