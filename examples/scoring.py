"""How good probabilities are, and how far they can be trusted."""

import numpy as np
from keras import ops

import keras_align


def softmax(logits):
    """Returns probabilities as a NumPy array."""
    return ops.convert_to_numpy(ops.softmax(logits))


def score(probabilities, labels):
    """Returns `accuracy`, `ece`, `nll` and `brier`.

    Accuracy and the expected calibration error are fractions; `nll` is the mean
    negative log-likelihood in nats, `brier` the mean squared distance between the
    probabilities and the one-hot label, from 0 to 2 (Brier, 1950).
    """
    calibration = keras_align.ExpectedCalibrationError(num_bins=10)
    calibration.update_state(labels, probabilities)
    of_labels = probabilities[np.arange(len(labels)), labels]
    one_hot = np.eye(probabilities.shape[-1])[labels]
    return {
        "accuracy": float(np.mean(probabilities.argmax(-1) == labels)),
        "ece": float(calibration.result()),
        "nll": float(-np.mean(np.log(np.maximum(of_labels, 1e-30)))),
        "brier": float(np.mean(np.sum((probabilities - one_hot) ** 2, axis=-1))),
    }
