"""Metrics of how far a model's confidence can be trusted."""

import keras
from keras import ops

from keras_align import keras_internals
from keras_align.validation import checks


@keras.saving.register_keras_serializable(package="keras_align")
class ExpectedCalibrationError(keras.metrics.Metric):
    r"""Mean gap between the confidence of a classifier and its accuracy.

    The confidence of a prediction is the probability of the class that is
    predicted. The predictions are sorted by confidence into `num_bins` bins of
    equal width, bin `m` being `((m - 1) / num_bins, m / num_bins]` (0 belongs to
    the first), and

        ECE = sum_m |B_m| / n * | accuracy(B_m) - mean confidence(B_m) |

    where `B_m` are the predictions of bin `m` and `n` is the number of all. It is
    0 for a classifier that is right in a share `p` of the cases of which it says
    "with probability `p`". Weighted samples count with their weight in all three
    places. The sums over the bins are kept between calls, so that the result does
    not depend on how the data was cut into batches.

    References:
        - [Naeini et al., 2015](https://ojs.aaai.org/index.php/AAAI/article/view/9602)
        - [Guo et al., 2017](https://arxiv.org/abs/1706.04599), equations 2 and 3

    Args:
        num_bins: Integer, at least 1. Number of bins. Defaults to `10`.
        from_logits: Bool. Whether `y_pred` holds logits instead of probabilities:
            a softmax is then taken over more than one class, a sigmoid of a
            single output. Defaults to `False`.
        name: String. Name of the metric.
        dtype: The dtype in which sums are kept. Defaults to `keras.config.floatx()`.

    Example:

    >>> metric = keras_align.ExpectedCalibrationError(num_bins=10)
    >>> y_pred = [[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]]
    >>> metric.update_state([0, 1, 0, 0], y_pred)
    >>> round(float(metric.result()), 3)  # 3 of 4 are right, with confidence 0.9
    0.15

    Usage with `compile()` API:

    ```python
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras_align.ExpectedCalibrationError(from_logits=True)],
    )
    ```
    """

    def __init__(
        self,
        num_bins=10,
        from_logits=False,
        name="expected_calibration_error",
        dtype=None,
    ):
        checks.positive_integer("num_bins", num_bins)
        if not isinstance(from_logits, bool):
            raise ValueError(
                f"`from_logits` must be a bool. Received: from_logits={from_logits!r}"
            )
        super().__init__(name=name, dtype=dtype)
        self.num_bins = int(num_bins)
        self.from_logits = from_logits
        self.bin_weights = self._add_bins("bin_weights")
        self.bin_confidences = self._add_bins("bin_confidences")
        self.bin_hits = self._add_bins("bin_hits")
        self._direction = "down"

    def _add_bins(self, name):
        return self.add_weight(
            shape=(self.num_bins,), initializer="zeros", dtype=self.dtype, name=name
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Sorts a batch of predictions into the bins.

        Args:
            y_true: The true classes: integers of shape `(..., )` or `(..., 1)`, or
                one-hot vectors `(..., C)`. For a single output, 0 or 1.
            y_pred: Float tensor. Probabilities (or logits) of the classes,
                `(..., C)`, or of the class 1 alone, `(..., 1)` or `(B,)`.
            sample_weight: Optional weights of the samples, of shape `(..., )` or
                `(..., 1)`, or with fewer axes, those of the first ones. Samples that
                the Keras mask of `y_pred` leaves out have the weight 0.
        """
        mask = keras_internals.token_mask(y_pred)
        # As in Keras, logits and probabilities are compared in float32 at least.
        y_pred = _at_least_float32(ops.convert_to_tensor(y_pred))
        y_true = ops.convert_to_tensor(y_true)
        samples = _check_shapes(y_true, y_pred)
        confidence, predicted = _top_label(y_pred, self.from_logits)
        if len(y_true.shape) == samples + 1 and y_true.shape[-1] != 1:
            y_true = ops.argmax(y_true, axis=-1)
        hit = ops.equal(ops.reshape(ops.cast(y_true, "int32"), (-1,)), predicted)
        weight = self._sample_weights(sample_weight, y_pred, samples)
        if mask is not None:
            weight = weight * self._sample_weights(mask, y_pred, samples)

        # Comparing with the borders keeps a confidence of, say, 0.3 out of the
        # bin above 0.3; multiplying by the number of bins would not.
        borders = [m / self.num_bins for m in range(1, self.num_bins)]
        borders = ops.convert_to_tensor(borders, confidence.dtype)
        above = ops.cast(confidence[:, None] > borders, "int32")  # (n, bins - 1)
        bins = ops.one_hot(ops.sum(above, axis=-1), self.num_bins, dtype=self.dtype)
        bins = bins * weight[:, None]  # (n, bins)
        confidence = ops.cast(confidence, self.dtype)[:, None]
        hit = ops.cast(hit, self.dtype)[:, None]
        self.bin_weights.assign_add(ops.sum(bins, axis=0))
        self.bin_confidences.assign_add(ops.sum(bins * confidence, axis=0))
        self.bin_hits.assign_add(ops.sum(bins * hit, axis=0))

    def _sample_weights(self, sample_weight, y_pred, samples):
        """Returns one weight per sample, `(n,)`."""
        shape = ops.shape(y_pred)[:samples]
        if sample_weight is None:
            return ops.reshape(ops.ones(shape, self.dtype), (-1,))
        weight = ops.cast(ops.convert_to_tensor(sample_weight), self.dtype)
        if len(weight.shape) == samples + 1 and weight.shape[-1] == 1:
            weight = ops.squeeze(weight, axis=-1)
        if len(weight.shape) > samples:
            raise ValueError(
                "`sample_weight` must have one weight per sample. Received: "
                f"sample_weight.shape={tuple(weight.shape)} for "
                f"y_pred.shape={tuple(y_pred.shape)}"
            )
        # As in Keras, a weight for each row counts for all samples of the row.
        missing = samples - len(weight.shape)
        weight = ops.reshape(weight, (*ops.shape(weight), *[1] * missing))
        return ops.reshape(ops.broadcast_to(weight, shape), (-1,))

    def result(self):
        gaps = ops.absolute(self.bin_hits - self.bin_confidences)
        return ops.divide_no_nan(ops.sum(gaps), ops.sum(self.bin_weights))

    def reliability(self):
        """Returns what a reliability diagram shows of every bin.

        Returns:
            A dictionary with the tensors `accuracy` and `confidence` (means over
            the bin's samples, 0 if it has none) and `share` (the bin's part of all
            samples), each of shape `(num_bins,)`.
        """
        weights = ops.convert_to_tensor(self.bin_weights)
        return {
            "accuracy": ops.divide_no_nan(self.bin_hits, weights),
            "confidence": ops.divide_no_nan(self.bin_confidences, weights),
            "share": ops.divide_no_nan(weights, ops.sum(weights)),
        }

    def get_config(self):
        config = super().get_config()
        config.update({"num_bins": self.num_bins, "from_logits": self.from_logits})
        return config


def _at_least_float32(y_pred):
    """Casts integers and half precision to float32, and keeps float64."""
    if keras.backend.standardize_dtype(y_pred.dtype) == "float64":
        return y_pred
    return ops.cast(y_pred, "float32")


def _top_label(y_pred, from_logits):
    """Returns confidence and class of each prediction, both flat, `(n,)`."""
    if len(y_pred.shape) > 1 and y_pred.shape[-1] != 1:
        if from_logits:
            y_pred = ops.softmax(y_pred, axis=-1)
        confidence = ops.reshape(ops.max(y_pred, axis=-1), (-1,))
        predicted = ops.reshape(ops.argmax(y_pred, axis=-1), (-1,))
        return confidence, ops.cast(predicted, "int32")
    probability = ops.reshape(y_pred, (-1,))
    if from_logits:
        probability = ops.sigmoid(probability)
    predicted = ops.cast(probability > 0.5, "int32")
    return ops.maximum(probability, 1.0 - probability), predicted


def _check_shapes(y_true, y_pred):
    """Returns how many leading axes number the samples."""
    true_shape, pred_shape = tuple(y_true.shape), tuple(y_pred.shape)
    samples = max(len(pred_shape) - 1, 1)
    fits = pred_shape and _compatible(true_shape[:samples], pred_shape[:samples])
    if len(true_shape) == samples + 1:
        classes = pred_shape[-1] if len(pred_shape) > 1 else 1
        fits = fits and true_shape[-1] in (1, classes, None)
    elif len(true_shape) != samples:
        fits = False
    if not fits:
        raise ValueError(
            "`y_true` must hold the class of every prediction, as integers of shape "
            "`(..., )` or `(..., 1)` or as one-hot vectors of the shape of `y_pred`, "
            "and `y_pred` the probabilities of the classes, `(..., C)`, or of class "
            f"1, `(..., 1)`. Received: y_true.shape={true_shape}, "
            f"y_pred.shape={pred_shape}"
        )
    return samples


def _compatible(shape, other):
    """Whether the axes of `shape` agree with the first ones of `other`."""
    return all(a == b or None in (a, b) for a, b in zip(shape, other, strict=False))
