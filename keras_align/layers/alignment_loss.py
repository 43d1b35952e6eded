"""The number `alignment_loss` in the logs of `fit`."""

import math
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_align import keras_internals
from keras_align.divergences.numerics import Tensor
from keras_align.validation.names import unique_name

_NAME = "alignment_loss"


@keras.saving.register_keras_serializable(package="keras_align")
class AlignmentLoss(keras.metrics.Metric):
    """Mean divergence of one layer over the samples since the last reset, unweighted.

    Keras puts the metrics of all layers into the logs by their names. Of the aligned
    layers of a model the first reports `alignment_loss`, the sum over the layers
    (PAPER: "sum over layers of L_align"); each reports `alignment_loss/<layer>` if
    asked to. Where nothing was computed, as in evaluation, nothing is reported.

    The layer adds to the sums in its `call`, so `update_state` does nothing: any loop
    may call it with targets and predictions, as for other metrics.

    Args:
        layer_name: string, name of the layer.
        name: string, name of the metric.
        dtype: dtype of the metric, float32.

    Attributes:
        sums: `UnsavedState`, the sum of the divergences and their number.
        reporting: bool, whether the latest call was one of training.
        reporting_layer: bool, whether to report the layer's own loss, too.
        unread: bool, whether a loss was added that nothing has read yet.
        latest: float, the mean before the last reset, or `None`.
    """

    def __init__(
        self, layer_name: str = "", name: str = _NAME, dtype: Any = "float32"
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.layer_name = layer_name
        self.sums = keras_internals.UnsavedState([0.0, 0.0], _NAME, summed=True)
        # In a stateless step, what is reported must be a variable of the metric.
        self._reported: Any = None
        if keras.backend.backend() == "jax":
            self._reported = self.add_variable((2,), "zeros", name="reported")
        self.reporting = self.reporting_layer = self.unread = False
        self.latest: float | None = None
        self.group: LossGroup | None = None
        self._caller: Callable[[], Any] = lambda: None

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the layer adds to the sums when it is called."""

    def add(self, divergence: Tensor, count: Tensor) -> None:
        """Adds the mean divergence of `count` samples and heads, in a call."""
        divergence = ops.stop_gradient(divergence)
        state = self.sums.state
        state.assign(state + ops.stack([divergence * count, count]))
        self.reporting = True
        self._join()

    def note_caller(self, root: keras.Model) -> None:
        """Remembers the compiled model that calls the layer."""
        self._caller = weakref.ref(root)

    def _join(self):
        """Makes the group of the model that is trained, if it is another one."""
        stateless = keras_internals.in_stateless_step()
        root = self._caller() if stateless else keras_internals.called_root()
        if root is None:
            return
        if self.group is None or self.group.model() is not root:
            layers = keras_internals.flattened(root)
            found = (getattr(each, "_alignment_tracker", None) for each in layers)
            LossGroup(root, tuple(dict.fromkeys(x for x in found if x is not None)))
        if stateless and self.group is not None:
            keras_internals.after_compute_loss(root, self.group.report)

    def leave(self) -> None:
        """Dissolves the group, as when a layer of the model is aligned no more."""
        for tracker in () if self.group is None else self.group.trackers:
            tracker.group = None

    def forget_traces(self) -> None:
        """Lets the model trace its training step again."""
        model = None if self.group is None else self.group.model()
        if isinstance(model, keras.Model):
            model.train_function = None

    def report(self) -> None:
        """Makes the sums what a stateless step reports."""
        self._reported.assign(self.sums.state)

    def totals(self) -> tuple[Tensor, Tensor]:
        """Sum and number of the divergences, scalar tensors."""
        stateless = keras_internals.in_stateless_step()
        totals = self._reported if stateless else self.sums.state
        return totals[0], totals[1]

    def mean(self) -> float | None:
        """This layer's mean divergence as a float, `None` if there is none."""
        total, count = map(float, ops.convert_to_numpy(self.sums.state))
        return total / count if count else self.latest

    def result(self) -> dict[str, Tensor]:
        """Dict of what this metric adds to the logs, empty if nothing was computed."""
        group, logs = self.group, {}
        if group is None or not group.is_reporting():
            return logs
        if group.trackers[0] is self:
            group.warn_if_unread()
            logs[group.key()] = mean_of([each.totals() for each in group.trackers])
        if self.reporting_layer:
            key = f"{group.key()}/{group.labels[self]}"
            logs[key] = mean_of([self.totals()])
        return logs

    def reset_state(self) -> None:
        if not keras_internals.is_traced():
            self.latest = self.mean()
        self.sums.reset()
        super().reset_state()
        self.reporting = False
        if self.group is not None:
            self.group.reported = False

    def save_own_variables(self, store: Any) -> None:
        """Saves nothing: the state of an epoch is no weight."""

    def load_own_variables(self, store: Any) -> None:
        """Loads nothing, see `save_own_variables`."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer_name": self.layer_name}


class LossGroup:
    """The trackers of the aligned layers of one model, which report together.

    Args:
        model: the model or layer that is trained, held by a weak reference.
        trackers: tuple of `AlignmentLoss`.
    """

    def __init__(
        self, model: keras.layers.Layer, trackers: tuple[AlignmentLoss, ...]
    ) -> None:
        self.model: Callable[[], Any] = weakref.ref(model)
        self.trackers, taken = trackers, set()
        self.labels = {each: unique_name(each.layer_name, taken) for each in trackers}
        self._known: tuple[list, str] | None = None
        self._warned = self.reported = False
        for tracker in trackers:
            tracker.group = self
            label = "" if tracker is trackers[0] else f"/{self.labels[tracker]}"
            tracker.name = f"{_NAME}{label}"

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
        metrics = [x for x in metrics if not isinstance(x, AlignmentLoss)]
        known = [(id(each), getattr(each, "built", True)) for each in metrics]
        if self._known is None or self._known[0] != known:
            taken = {name for each in metrics for name in _names_in_logs(each)}
            self._known = known, unique_name(_NAME, taken)
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
    """Sum of the means of `(sum, number)` pairs; NaN if all numbers are 0."""
    mean = sum(total / ops.maximum(count, 1.0) for total, count in totals)
    return ops.where(sum(count for _, count in totals) > 0.0, mean, math.nan)


def _names_in_logs(metric):
    """The names under which a metric stands in the logs."""
    if keras_internals.is_compile_metrics(metric):
        return list(metric.result()) if metric.built else []
    return [metric.name]
