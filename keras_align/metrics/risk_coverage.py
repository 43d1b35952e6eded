"""How many answers a classifier can give at how many errors."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align.metrics.predictions import check_settings, read_predictions
from keras_align.validation import checks

# Log-odds of the largest confidence below 1 in float32.
_LARGEST = 16.7


@keras.saving.register_keras_serializable(package="keras_align")
class RiskCoverage(keras.metrics.Metric):
    r"""Errors of a classifier that answers only where it is confident.

    A selective classifier answers where the probability of its predicted class is at
    least some threshold. Its coverage is the share of all samples that it answers, its
    risk the share of wrong answers among these. The result is the area under the curve
    of risk over coverage (AURC), or, with `risk`, the largest coverage at that risk:

        coverage(t) = n(confidence >= t) / n
        risk(t) = n(confidence >= t, wrong) / n(confidence >= t)
        AURC = integral of risk over coverage from 0 to 1
        coverage at r = max of coverage(t) over the t with risk(t) <= r, else 0

    Confidences are sorted into `num_bins` bins of equal width in log-odds between -16.7
    and 16.7, so that those near 1 are told apart. Samples of one bin are answered
    together; under the curve they stand in random order, so that a classifier without
    any order has its error rate as its area. Weighted samples count with their weight.
    The sums over the bins are kept between calls, so that the result does not depend on
    how the data was cut into batches.

    Invalid values are treated as in `keras_align.ExpectedCalibrationError`.

    References:
        - [Geifman and El-Yaniv, 2017](https://arxiv.org/abs/1705.08500), section 2
        - [Geifman et al., 2019](https://arxiv.org/abs/1805.08206), equation 1

    Args:
        risk: Float in `[0, 1)`, as `0.05`: the result is the coverage at this risk.
            `None`, the default: it is the area under the curve.
        num_bins: Integer, at least 1. Defaults to `5000`.
        from_logits: Bool. Whether `y_pred` holds logits instead of probabilities.
            Defaults to `False`.
        name: String. Name of the metric. `None`, the default, is
            `"area_under_risk_coverage"` or `"coverage_at_risk"`.
        dtype: The dtype in which sums are kept. Defaults to `keras.config.floatx()`.
        ignore_class: Optional integer. Samples whose true class it is do not count.

    Example:

    >>> y_true = [0, 1, 1, 0]
    >>> y_pred = [[0.95, 0.05], [0.1, 0.9], [0.8, 0.2], [0.7, 0.3]]
    >>> metric = keras_align.RiskCoverage(risk=0.05)
    >>> metric.update_state(y_true, y_pred)
    >>> float(metric.result())  # the third is wrong
    0.5
    >>> coverage, risk = metric.curve()
    >>> [round(float(x), 2) for x in risk]
    [0.0, 0.0, 0.33, 0.25]

    Usage with `compile()` API:

    ```python
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras_align.RiskCoverage(risk=0.05, from_logits=True)],
    )
    ```
    """

    def __init__(
        self,
        risk: float | None = None,
        num_bins: int = 5000,
        from_logits: bool = False,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
    ) -> None:
        if risk is not None:
            checks.dropout_rate("risk", risk)
        checks.positive_integer("num_bins", num_bins)
        check_settings(from_logits, ignore_class)
        default = "area_under_risk_coverage" if risk is None else "coverage_at_risk"
        super().__init__(name=name or default, dtype=dtype)
        self.risk, self.num_bins = risk, int(num_bins)
        self.from_logits, self.ignore_class = from_logits, ignore_class
        self.bin_weights = self._add_bins("bin_weights")
        self.bin_errors = self._add_bins("bin_errors")
        self._direction = "down" if risk is None else "up"

    def _add_bins(self, name):
        return self.add_weight(
            shape=(self.num_bins,), initializer="zeros", dtype=self.dtype, name=name
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Sorts a batch of predictions into the bins.

        Args:
            y_true: As in `ExpectedCalibrationError.update_state`: integers `(..., )` or
                `(..., 1)`, or one-hot vectors `(..., C)`.
            y_pred: Float tensor `(..., C)`, or of the class 1 alone, `(..., 1)`.
            sample_weight: Optional weights of the samples.

        Raises:
            ValueError: See `ExpectedCalibrationError.update_state`.
        """
        confidence, correct, weight = read_predictions(
            y_true,
            y_pred,
            sample_weight,
            from_logits=self.from_logits,
            ignore_class=self.ignore_class,
            dtype=self.dtype,
        )
        bins = self._bins(confidence)
        errors = weight * ops.cast(ops.logical_not(correct), self.dtype)
        self.bin_weights.assign_add(self._sums(weight, bins))
        self.bin_errors.assign_add(self._sums(errors, bins))

    def _bins(self, confidence):
        """Bins `(n,)`, int32, the most confident first."""
        confidence = ops.cast(confidence, "float32")
        odds = ops.log(confidence) - ops.log1p(-ops.minimum(confidence, 1.0))
        odds = ops.clip(odds, -_LARGEST, _LARGEST)
        place = (_LARGEST - odds) / (2.0 * _LARGEST) * self.num_bins
        return ops.minimum(ops.cast(place, "int32"), self.num_bins - 1)

    def _sums(self, values, bins):
        # NaN of an invalid sample would stay in its bin: it is to be seen in any case.
        kept = "float64" if self.dtype == "float64" else "float32"
        known = ops.cast(ops.nan_to_num(values), kept)
        sums = ops.segment_sum(known, bins, self.num_bins)
        return ops.cast(sums, self.dtype) + 0.0 * ops.sum(values)

    def result(self) -> Any:
        if self.risk is None:
            return self._area()
        weights, errors = self._cumulated()
        total = ops.maximum(weights[-1], keras.config.epsilon())
        # A risk of 0.53 is not exceeded by 53 of 100, whatever float32 makes of it.
        rounding = 1.0 + 4.0 * keras.config.epsilon()
        allowed = errors <= self.risk * rounding * weights
        return ops.max(ops.where(allowed, weights, 0.0)) / total

    def _area(self):
        """The integral over the samples of one bin, w of which e are wrong, after W
        with E wrong: that of (E + e t) / (W + w t) over t from 0 to 1, times w."""
        w, e = ops.convert_to_tensor(self.bin_weights), self.bin_errors + 0.0
        cumulated, wrong = self._cumulated()
        before, wrong_before = cumulated - w, wrong - e
        is_first = before <= 0.0
        rate = ops.divide_no_nan(e, w)
        ratio = ops.where(is_first, 0.0, w / ops.where(is_first, 1.0, before))
        areas = e + (wrong_before - before * rate) * ops.log1p(ratio)
        return ops.divide_no_nan(ops.sum(areas), cumulated[-1])

    def _cumulated(self):
        return (ops.cumsum(x + 0.0) for x in (self.bin_weights, self.bin_errors))

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns coverage and risk, for a picture.

        Returns:
            Two float arrays `(k,)`, of the k thresholds at which samples were seen,
            from the highest.
        """
        filled = ops.convert_to_numpy(self.bin_weights) > 0.0
        weights, errors = map(ops.convert_to_numpy, self._cumulated())
        total = max(weights[-1], keras.config.epsilon())
        return weights[filled] / total, errors[filled] / weights[filled]

    def get_config(self) -> dict[str, Any]:
        names = ("risk", "num_bins", "from_logits", "ignore_class")
        return super().get_config() | {name: getattr(self, name) for name in names}
