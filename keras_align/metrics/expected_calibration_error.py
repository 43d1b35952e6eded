"""Metrics of how far a model's confidence can be trusted."""

from typing import Any

import keras
from keras import ops

from keras_align.metrics.predictions import check_settings, read_predictions
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
    not depend on how the data was cut into batches; a batch may be empty.

    Probabilities must not be negative and must sum to one over the classes, within
    0.03, as half precision rounds them. Other values, such as logits without
    `from_logits=True` or NaN, raise a `ValueError` where values can be read. In a
    traced function, as in `fit` on TensorFlow and JAX, they make the result NaN.

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
        ignore_class: Optional integer. Samples whose true class it is do not count,
            as in `keras.losses.SparseCategoricalCrossentropy`: -1 or 255 often
            stands for "no class". Defaults to `None`, where all classes count.

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
        num_bins: int = 10,
        from_logits: bool = False,
        name: str = "expected_calibration_error",
        dtype: Any = None,
        ignore_class: int | None = None,
    ) -> None:
        checks.positive_integer("num_bins", num_bins)
        check_settings(from_logits, ignore_class)
        super().__init__(name=name, dtype=dtype)
        self.ignore_class = ignore_class
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

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Sorts a batch of predictions into the bins.

        Args:
            y_true: The true classes: integers of shape `(..., )` or `(..., 1)`, or
                one-hot vectors `(..., C)`. For a single output, 0 or 1.
            y_pred: Float tensor. Probabilities (or logits) of the classes,
                `(..., C)`, or of the class 1 alone, `(..., 1)` or `(B,)`.
            sample_weight: Optional weights of the samples, of shape `(..., )` or
                `(..., 1)`, or with fewer axes, those of the first ones. Samples that
                the Keras mask of `y_pred` leaves out have the weight 0. The values
                of samples with the weight 0 may be anything.

        Raises:
            ValueError: If shapes do not fit, or, outside of traced functions, if
                `y_pred` holds no probabilities (no finite softmax), `y_true` other
                classes, or `sample_weight` negative numbers.
        """
        confidence, correct, weight = read_predictions(
            y_true,
            y_pred,
            sample_weight,
            from_logits=self.from_logits,
            ignore_class=self.ignore_class,
            dtype=self.dtype,
        )
        # Comparing with the borders keeps a confidence of, say, 0.3 out of the
        # bin above 0.3; multiplying by the number of bins would not.
        borders = [m / self.num_bins for m in range(1, self.num_bins)]
        borders = ops.convert_to_tensor(borders, confidence.dtype)
        above = ops.cast(confidence[:, None] > borders, "int32")  # (n, bins - 1)
        bins = ops.one_hot(ops.sum(above, axis=-1), self.num_bins, dtype=self.dtype)
        bins = bins * weight[:, None]  # (n, bins)
        confidence = ops.cast(confidence, self.dtype)[:, None]
        correct = ops.cast(correct, self.dtype)[:, None]
        self.bin_weights.assign_add(ops.sum(bins, axis=0))
        self.bin_confidences.assign_add(ops.sum(bins * confidence, axis=0))
        self.bin_hits.assign_add(ops.sum(bins * correct, axis=0))

    def result(self) -> Any:
        gaps = ops.absolute(self.bin_hits - self.bin_confidences)
        return ops.divide_no_nan(ops.sum(gaps), ops.sum(self.bin_weights))

    def reliability(self) -> dict[str, Any]:
        """Returns what a reliability diagram shows of every bin.

        Returns:
            A dictionary with the tensors `accuracy` and `confidence` (means over
            the bin's samples, 0 if it has none) and `share` (of all samples, those in
            the bin), each of shape `(num_bins,)`.
        """
        weights = ops.convert_to_tensor(self.bin_weights)
        return {
            "accuracy": ops.divide_no_nan(self.bin_hits, weights),
            "confidence": ops.divide_no_nan(self.bin_confidences, weights),
            "share": ops.divide_no_nan(weights, ops.sum(weights)),
        }

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config | {
            "num_bins": self.num_bins,
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }
