"""The number `alignment_loss` in the logs of `fit`."""

import functools
import weakref
from typing import Any

import keras
from keras import ops

from keras_align import keras_internals
from keras_align.divergences.numerics import Tensor
from keras_align.layers.loss_group import NAME, LossGroup, mean_of


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
        self, layer_name: str = "", name: str = NAME, dtype: Any = "float32"
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.layer_name = layer_name
        self.sums = keras_internals.UnsavedState([0.0, 0.0], NAME, summed=True)
        # In a stateless step, what is reported must be a variable of the metric.
        self._reported: Any = None
        if keras.backend.backend() == "jax":
            self._reported = self.add_variable((2,), "zeros", name="reported")
        self.reporting = self.reporting_layer = self.unread = False
        self._callers: weakref.WeakSet = weakref.WeakSet()
        self.latest: float | None = None
        self.group: LossGroup | None = None

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the layer adds to the sums when it is called."""

    def add(self, divergence: Tensor, count: Tensor) -> None:
        """Adds the mean divergence of `count` samples and heads, in a call."""
        of_model = self._join()
        self.reporting = self.reporting or of_model
        self.unread = of_model and not keras_internals.in_stateless_step()
        if self.group is not None and not of_model:
            return  # a call of the layer alone, while a model is trained
        divergence = ops.stop_gradient(divergence)
        state = self.sums.state
        state.assign(state + ops.stack([divergence * count, count]))

    def note_caller(self, root: keras.Model) -> None:
        """Remembers a compiled model that calls the layer."""
        self._callers.add(root)

    def _join(self):
        """Whether a model is being trained; its trackers become a group if needed."""
        if keras_internals.in_stateless_step():
            # Which model it is shows in its `compute_loss`.
            for model in list(self._callers) if self._reported is not None else ():
                report = functools.partial(self._report_in, weakref.ref(model))
                keras_internals.after_compute_loss(model, report)
            return True
        root = keras_internals.called_root()
        is_free = self._live_group() is None
        if isinstance(root, keras.Model) and (root.compiled or is_free):
            self._join_group(root)
        group = self._live_group()
        return group is not None and group.model() is root

    def _join_group(self, model):
        """Makes the trackers of a model the group that reports, if it is another."""
        known = self._live_group()
        if known is None or known.model() is not model:
            layers = keras_internals.flattened(model)
            found = (getattr(each, "_alignment_tracker", None) for each in layers)
            LossGroup(model, tuple(dict.fromkeys(x for x in found if x is not None)))

    def _live_group(self):
        """The group, `None` if there is none or its model is gone."""
        if self.group is not None and self.group.model() is None:
            self.group = None
        return self.group

    def _report_in(self, model):
        """In `compute_loss` of the model that is trained in a stateless step."""
        self._forget_hooks()
        self._join_group(model())
        if self.group is not None:
            self.group.report()

    def _forget_hooks(self):
        for model in self._callers:
            keras_internals.forget_compute_loss(model)

    def leave(self) -> None:
        """Dissolves the group, as when a layer of the model is aligned no more."""
        self._forget_hooks()
        for tracker in () if self.group is None else self.group.trackers:
            tracker.group = None

    def check_between_fits(self) -> None:
        """Raises if a stateless `fit` of the model is going on."""
        for model in self._callers:
            if keras_internals.is_in_stateless_fit(model):
                raise ValueError(
                    "Argument `alignment_weight`: on JAX a keras.Variable can take the "
                    "place of a number, or the reverse, between two `fit`s alone. "
                    f"Received: a change within the `fit` of '{model.name}'"
                )

    def forget_traces(self) -> None:
        """Lets the models that call the layer trace their training step again."""
        for model in self._callers:
            if model.train_function is not None:
                model.make_train_function(force=True)

    def report(self) -> None:
        """Makes the sums what a stateless step reports."""
        self._reported.assign(self.sums.state)

    def totals(self) -> tuple[Tensor, Tensor]:
        """Sum and number of the divergences, scalar tensors; numbers when eager."""
        stateless = keras_internals.in_stateless_step()
        totals = self._reported if stateless else self.sums.state
        if not (stateless or keras_internals.is_traced()):
            totals = ops.convert_to_numpy(totals)
        return totals[0], totals[1]

    def mean(self) -> float | None:
        """This layer's mean divergence as a float, `None` if there is none."""
        total, count = map(float, ops.convert_to_numpy(self.sums.state))
        return total / count if count else self.latest

    def result(self) -> dict[str, Tensor]:
        """Dict of what this metric adds to the logs, empty if nothing was computed."""
        group, logs = self._live_group(), {}
        leads = group is not None and group.trackers[0] is self
        if group is None or not (leads or self.reporting_layer):
            return logs  # without reading the sums
        if not group.is_reporting():
            return logs
        if leads:
            if keras_internals.is_traced() or keras.backend.backend() == "torch":
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
        self.reporting = self.unread = False
        self._forget_hooks()
        if self.group is not None:
            self.group.reported = False

    def save_own_variables(self, store: Any) -> None:
        """Saves nothing: the state of an epoch is no weight."""

    def load_own_variables(self, store: Any) -> None:
        """Loads nothing, see `save_own_variables`."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer_name": self.layer_name}
