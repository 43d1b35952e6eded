"""The expected calibration error in NumPy."""

import numpy as np

from keras_align.metrics import ExpectedCalibrationError


def oracle(labels, probabilities, num_bins=10, weights=None):
    """The definition of Guo et al. (2017), one prediction at a time, in float64."""
    labels = np.asarray(labels)
    probabilities = np.asarray(probabilities, "float32")
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights)
    borders = [np.float32(m / num_bins) for m in range(num_bins)]
    totals = np.zeros((num_bins, 3))
    for label, row, weight in zip(labels, probabilities, weights, strict=True):
        confidence, predicted = row.max(), row.argmax()
        index = max(m for m in range(num_bins) if m == 0 or confidence > borders[m])
        totals[index] += weight * np.array([1.0, float(confidence), predicted == label])
    weight, confidence, hits = totals.T
    if weight.sum() == 0:
        return 0.0
    filled = weight > 0
    gaps = hits[filled] / weight[filled] - confidence[filled] / weight[filled]
    return float(np.sum(weight[filled] * np.abs(gaps)) / weight.sum())


def measure(labels, probabilities, weights=None, **options):
    metric = ExpectedCalibrationError(**options)
    metric.update_state(labels, probabilities, sample_weight=weights)
    return float(metric.result())


def random_predictions(count=200, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), count).astype("float32")
    return rng.integers(0, classes, count), probabilities
