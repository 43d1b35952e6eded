"""How a layer is aligned: the alignment, its weight, and what is logged of it."""

import random
from typing import Any

import keras

from keras_align import keras_internals
from keras_align.alignments import get_alignment, serialize_alignment
from keras_align.layers.alignment_checks import check_gradient
from keras_align.layers.alignment_loss import AlignmentLoss
from keras_align.layers.alignment_weight import AlignmentWeight, check_weight


class AlignmentSettings(keras.layers.Layer):
    """The part of `AlignedAttention` that is the same in every call."""

    # An `Alignment` and an `AlignmentLoss`, `None` in a layer without alignment.
    alignment: Any
    _alignment_tracker: Any
    # Whether it can project its inputs once more, for `projections_only`.
    _repeats_projections = False

    def _with_defaults(self, alignment, alignment_weight):
        """The arguments as an alignment and a weight suited to the class."""
        return alignment, alignment_weight

    def _set_alignment(self, alignment, alignment_weight):
        alignment, alignment_weight = self._with_defaults(alignment, alignment_weight)
        alignment = get_alignment(alignment)
        check_gradient(self, alignment)
        self.alignment = alignment
        weight = AlignmentWeight(check_weight(alignment_weight, self.alignment))
        self._alignment_weight = weight
        self._alignment_variable = None
        # In the order in which Keras tracks what they hold.
        self._alignment_weight_state = self._alignment_tracker = None
        self._alignment_sums = self._alignment_factor = self._token_seeds = None
        self._training_warned = False
        self._self_attention = None  # of the latest call, see `adapters`
        if self.alignment is None:
            return
        self._hold_variable(weight.variable)
        self.alignment.name = "alignment"  # the paths of its weights hold no count
        self._alignment_weight_state = weight.state
        self._alignment_tracker = AlignmentLoss(layer_name=self.name)
        self._alignment_sums = self._alignment_tracker.sums
        self._alignment_factor = keras_internals.UnsavedState(1.0, "alignment_factor")
        self._token_seeds = keras.random.SeedGenerator(
            _seed_without_drawing(), name="token_sampling"
        )

    @property
    def alignment_weight(self) -> float | keras.Variable:
        """Factor of the divergence in the loss: a float, or the `keras.Variable`.

        It may be set at any time, and takes effect in the next step; on JAX within
        `fit` at the beginning of an epoch, or in a callback that has touched
        `self.model`, as for every variable of Keras. A variable in the place of a
        number, or the reverse, makes the model trace its training step again; on JAX
        this can be done between two `fit`s alone.
        """
        return self._alignment_weight.value

    @alignment_weight.setter
    def alignment_weight(self, value: float | keras.Variable | None) -> None:
        value, weight = check_weight(value, self.alignment), self._alignment_weight
        variable = value if isinstance(value, keras.Variable) else None
        if variable is not weight.variable and self._alignment_tracker is not None:
            self._alignment_tracker.check_between_fits()
            self._hold_variable(variable)
            weight.set(value)
            self._alignment_tracker.forget_traces()
        else:
            weight.set(value)

    @property
    def _repeats_by_default(self) -> bool:
        """Whether it projects once more where an alignment does so by default."""
        return False

    @property
    def _trains_projections_only(self) -> bool:
        """Whether the gradient of the loss ends at the inputs of the projections."""
        asked = self.alignment.projections_only
        if asked is not None:
            return asked
        return self.alignment.default_projections_only and self._repeats_by_default

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "alignment_weight":  # before Keras tracks a variable
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _hold_variable(self, variable):
        """Makes the variable of the weight the layer's own, for stateless steps."""
        keras_internals.remove_attributes(self, ["_alignment_variable"])
        if variable is not None:
            # A setting, nothing to be learned: before it is tracked, so that unfreezing
            # the layer does not change it.
            variable.trainable = False
        with keras_internals.unlocked(self):
            self._alignment_variable = variable

    @property
    def alignment_factor(self) -> keras.Variable | None:
        """`keras.Variable` that multiplies the weight, see `AlignmentWeightSchedule`.

        `None` for a layer without alignment.
        """
        factor = self._alignment_factor
        return None if factor is None else factor.state

    @property
    def alignment_loss(self) -> float | None:
        """Mean divergence of this layer in the last epoch of training, unweighted.

        A float, of the samples since its metrics were reset, or before that if there
        are none. `None` if nothing was computed yet, or for a layer without alignment.
        """
        tracker = self._alignment_tracker
        return None if tracker is None else tracker.mean()

    @property
    def log_alignment_loss(self) -> bool:
        """Whether `fit` also logs this layer's own loss, `alignment_loss/<name>`.

        Copies of the layer and files do not have it. Of several layers of one name in a
        model the second logs `alignment_loss/<name>_2`, and so on.
        """
        tracker = self._alignment_tracker
        return tracker is not None and tracker.reporting_layer

    @log_alignment_loss.setter
    def log_alignment_loss(self, value: bool) -> None:
        if self._alignment_tracker is None:
            raise ValueError(
                "`log_alignment_loss` needs a layer with an alignment. "
                f"Received: layer '{self.name}' with alignment=None"
            )
        self._alignment_tracker.reporting_layer = bool(value)

    @property
    def alignment_options(self) -> dict[str, Any] | None:
        """Serialised alignment and its weight as a number, or `None` without one."""
        if self.alignment is None:
            return None
        alignment = serialize_alignment(self.alignment)
        weight = self._alignment_weight.number
        return {"alignment": alignment, "alignment_weight": weight}

    def get_config(self) -> dict[str, Any]:
        weight = self._alignment_weight.number
        plain = {"alignment": None, "alignment_weight": weight}
        return {**super().get_config(), **(self.alignment_options or plain)}

    def save_own_variables(self, store: Any) -> None:
        """Saves all but the variable of the weight, which is a setting."""
        with keras_internals.without_variables(self, [self._alignment_variable]):
            super().save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        """The inverse of `save_own_variables`."""
        with keras_internals.without_variables(self, [self._alignment_variable]):
            super().load_own_variables(store)


def _seed_without_drawing() -> int:
    """A seed from Python's generator, whose state stays as it was.

    So what is drawn after it, as initial weights, is what it is without sampling.
    Layers that are made in a row may select the same tokens: each estimate is unbiased.
    """
    return random.Random(repr(random.getstate())).randrange(2**31)
