"""The aligned layers of one model, which report their loss together."""

import math
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align import keras_internals
from keras_align.divergences.numerics import Tensor
from keras_align.validation.names import unique_name

NAME = "alignment_loss"


class LossGroup:
    """The trackers of the aligned layers of one model, which report together.

    Args:
        model: the model or layer that is trained, held by a weak reference.
        trackers: tuple of `AlignmentLoss`.
    """

    def __init__(self, model: keras.layers.Layer, trackers: tuple[Any, ...]) -> None:
        self.model: Callable[[], Any] = weakref.ref(model)
        self.trackers, taken = trackers, set()
        self.labels = {each: unique_name(each.layer_name, taken) for each in trackers}
        self._known: tuple[list, str] | None = None
        self._warned = self.reported = False
        for tracker in trackers:
            tracker.group = self
            label = "" if tracker is trackers[0] else f"/{self.labels[tracker]}"
            tracker.name = f"{NAME}{label}"

    def report(self) -> None:
        """See `AlignmentLoss.report`."""
        self.reported = True
        for tracker in self.trackers:
            tracker.report()

    def is_reporting(self) -> bool:
        """Whether training went on since the last reset.

        A step that is being traced tells by what was traced last; when `fit` asks at
        the end of an epoch, nothing need have been traced in it.
        """
        if keras_internals.in_stateless_step() and not self.reported:
            return False  # a step of one's own that does not pass the sums on
        if keras_internals.is_traced() or keras.backend.backend() == "torch":
            return any(each.reporting for each in self.trackers)
        counts = [ops.convert_to_numpy(x.sums.state)[1] for x in self.trackers]
        return sum(counts) > 0

    def key(self) -> str:
        """`alignment_loss`, or with a number behind it if the logs have that."""
        model = self.model()
        metrics = getattr(model, "metrics", None) or ()
        metrics = [x for x in metrics if x not in self.trackers]
        known = [(id(each), getattr(each, "built", True)) for each in metrics]
        if self._known is None or self._known[0] != known:
            taken = {name for each in metrics for name in _names_in_logs(each)}
            self._known = known, unique_name(NAME, taken)
        return self._known[1]

    def warn_if_unread(self) -> None:
        """Warns once if the loss of this step is not part of what is minimised."""
        if self._warned or not any(each.unread for each in self.trackers):
            return
        self._warned = True
        warnings.warn(
            f"The alignment loss of '{self.model().name}' was computed but is not part "
            "of the loss that is trained: nothing has read `model.losses`. Add "
            "`sum(self.losses)` in your `compute_loss` or `train_step`.",
            stacklevel=2,
        )


def mean_of(totals: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Sum of the means of `(sum, number)` pairs; NaN if all numbers are 0.

    Numbers of NumPy are summed in NumPy, without eager operations: where an epoch has
    one step, as on a graph, these would take as long as the alignment.
    """
    library = np if isinstance(totals[0][0], np.floating) else ops
    mean = sum(total / library.maximum(count, 1.0) for total, count in totals)
    return library.where(sum(count for _, count in totals) > 0.0, mean, math.nan)


def _names_in_logs(metric):
    """The names under which a metric stands in the logs."""
    if keras_internals.is_compile_metrics(metric):
        return list(metric.result()) if metric.built else []
    return [metric.name]
