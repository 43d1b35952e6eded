"""Whether a classifier is right where it is certain, and uncertain where wrong."""

from typing import Any

import keras
from keras import ops

from keras_align.metrics.predictions import check_settings, read_predictions
from keras_align.validation import checks

_GROUPS = (
    *("accurate_certain", "accurate_uncertain"),
    *("inaccurate_certain", "inaccurate_uncertain"),
)


@keras.saving.register_keras_serializable(package="keras_align")
class PAvPU(keras.metrics.Metric):
    r"""Accuracy versus uncertainty of predictions that were sampled.

    Several predictions of every sample, as of `keras_align.sample_predictions`, show
    how sure a model is of its answer. The answer is the class of the largest mean
    probability; it is certain if a two-sided t-test says that the sampled probabilities
    of the two best classes have different means, with a p-value below `threshold`. Of
    the accurate (A) and inaccurate (I), certain (C) and uncertain (U) answers,

        PAvPU = (n_AC + n_IU) / (n_AC + n_AU + n_IC + n_IU)

    The test is Student's for two independent groups of equal variance. Predictions that
    do not vary are certain, but where both classes have the same probability. The paper
    reports 20 samples of the attention weights, which a deterministic attention does
    not have; `sample_predictions` takes those of attention dropout.

    A sample here is what Mukhoti and Gal, who classify pixels, call a patch.

    References:
        - [Mukhoti and Gal, 2018](https://arxiv.org/abs/1811.12709), section 3
        - [Fan et al., 2020](https://arxiv.org/abs/2010.10604), section 4.3, whose test
          of the two best answers this is
        - Zhang et al., "Alignment Attention by Matching Key and Query Distributions",
          NeurIPS 2021, table 5

    Args:
        threshold: Float in `(0, 1)`, p-value below which an answer is certain.
            Defaults to `0.05`.
        from_logits: Bool. Whether `y_pred` holds logits instead of probabilities.
            Defaults to `False`.
        name: String. Name of the metric.
        dtype: The dtype in which sums are kept. Defaults to `keras.config.floatx()`.
        ignore_class: Optional integer. Samples whose true class it is do not count.

    Example:

    >>> metric = keras_align.PAvPU()
    >>> certain = [[0.9, 0.1], [0.8, 0.2], [0.9, 0.1]]
    >>> uncertain = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]
    >>> metric.update_state([0, 1, 1], [certain, certain, uncertain])
    >>> round(float(metric.result()), 3)  # the second is wrong and certain
    0.667
    """

    def __init__(
        self,
        threshold: float = 0.05,
        from_logits: bool = False,
        name: str = "pavpu",
        dtype: Any = None,
        ignore_class: int | None = None,
    ) -> None:
        checks.positive("threshold", threshold)
        checks.dropout_rate("threshold", threshold)
        check_settings(from_logits, ignore_class)
        super().__init__(name=name, dtype=dtype)
        self.threshold, self.from_logits = threshold, from_logits
        self.ignore_class = ignore_class
        self.counts = self.add_weight(
            shape=(4,), initializer="zeros", dtype=self.dtype, name="counts"
        )
        self._direction = "up"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch of sampled predictions.

        Args:
            y_true: The true classes, integers `(B,)` or `(B, 1)`, or one-hot vectors
                `(B, C)`.
            y_pred: Float tensor `(B, S, C)`, S > 1 predictions for each sample,
                probabilities or logits of C > 1 classes.
            sample_weight: Optional weights `(B,)`.

        Raises:
            ValueError: If shapes do not fit, or for values that
                `ExpectedCalibrationError.update_state` refuses.
        """
        y_pred = ops.convert_to_tensor(y_pred)
        _check_shape(tuple(y_pred.shape))
        if keras.backend.standardize_dtype(y_pred.dtype) != "float64":
            y_pred = ops.cast(y_pred, "float32")
        if self.from_logits:
            y_pred = ops.softmax(y_pred, axis=-1)
        mean = ops.mean(y_pred, axis=1)
        _, correct, weight = read_predictions(
            y_true,
            mean,
            sample_weight,
            from_logits=False,
            ignore_class=self.ignore_class,
            dtype=self.dtype,
        )
        if 0 in tuple(y_pred.shape):
            return
        certain = p_values(*_two_best(y_pred, mean)) < self.threshold
        pairs = [(a, b) for a in (correct, ~correct) for b in (certain, ~certain)]
        groups = ops.stack([ops.cast(a & b, self.dtype) for a, b in pairs])
        self.counts.assign_add(ops.sum(groups * weight, axis=1))

    def result(self) -> Any:
        good = self.counts[0] + self.counts[3]
        return ops.divide_no_nan(good, ops.sum(self.counts))

    def shares(self) -> dict[str, float]:
        """Returns the share of all samples in each of the four groups.

        Returns:
            A dictionary of floats: `"accurate_certain"`, `"accurate_uncertain"`,
            `"inaccurate_certain"`, `"inaccurate_uncertain"`.
        """
        shares = ops.divide_no_nan(self.counts + 0.0, ops.sum(self.counts))
        return dict(zip(_GROUPS, map(float, shares), strict=True))

    def get_config(self) -> dict[str, Any]:
        names = ("threshold", "from_logits", "ignore_class")
        return super().get_config() | {name: getattr(self, name) for name in names}


def p_values(first: Any, second: Any) -> Any:
    """Two-sided p-values of Student's t-test of equally many values in two groups.

    For the even number of degrees of freedom that these have the distribution is a
    finite sum: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.4.

    Args:
        first: float tensor `(B, S)`, S > 1.
        second: float tensor `(B, S)`.

    Returns:
        Float tensor `(B,)`; 1 where all values are equal.
    """
    size = first.shape[1]
    freedom = 2 * size - 2
    gap = ops.mean(first, axis=1) - ops.mean(second, axis=1)
    variance = ops.var(first, axis=1) + ops.var(second, axis=1)  # divided by S
    scaled = freedom * variance / (size - 1)  # degrees of freedom * (gap / t)^2
    whole = scaled + ops.square(gap)
    whole = ops.where(whole > 0.0, whole, 1.0)
    cosine = scaled / whole  # squared, of the angle atan(t / sqrt(freedom))
    term = total = ops.ones_like(cosine)
    for j in range(1, freedom // 2):
        term = term * cosine * (2 * j - 1) / (2 * j)
        total = total + term
    return 1.0 - total * ops.absolute(gap) / ops.sqrt(whole)


def _two_best(y_pred, mean):
    """The samples `(B, S)` of the two classes of the largest mean."""
    best = ops.top_k(mean, 2)[1][:, None, :]  # (B, 1, 2)
    of_both = ops.take_along_axis(y_pred, best, axis=2)
    return of_both[:, :, 0], of_both[:, :, 1]


def _check_shape(shape):
    if len(shape) != 3 or shape[1] is None or shape[1] < 2 or shape[2] in (None, 0, 1):
        raise ValueError(
            "`y_pred` must be of shape (B, S, C), S > 1 predictions of C > 1 classes "
            f"for each sample. Received: y_pred.shape={shape}"
        )
