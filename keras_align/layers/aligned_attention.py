"""What every aligned attention layer shares."""

import numbers

import keras
from keras import ops

from keras_align import keras_internals
from keras_align.alignments import Alignment, get_alignment, serialize_alignment
from keras_align.layers.alignment_loss import AlignmentLoss


class AlignedAttention:
    """Mixin that adds the alignment loss of keys and queries to an attention layer.

    It stands before the layer that it extends. A subclass captures queries and keys in
    `call` and hands them to `_add_alignment_loss`; it says in `_matched_shape` how many
    key heads there are and how large, and in `_match_heads` which queries belong to
    which key head. Outside training nothing is added to the layer's computation.
    """

    def _set_alignment(self, alignment, alignment_weight):
        self.alignment = get_alignment(alignment)
        if self.alignment is not None:
            self.alignment.name = "alignment"  # the paths of its weights hold no count
        weight = check_weight(alignment_weight, self.alignment)
        if isinstance(weight, keras.Variable):
            # A setting, nothing to be learned: before it is tracked, so that unfreezing
            # the layer does not change it.
            weight.trainable = False
        self.alignment_weight = weight
        self.alignment_factor = None  # a variable, see `AlignmentWeightSchedule`
        self._self_attention = None
        self._loss_of_calls, self._calls, self._last_loss = 0.0, 0, None
        self._alignment_tracker = None
        if self.alignment is not None:
            self._alignment_tracker = AlignmentLoss(layer_name=self.name)

    def _build_alignment(self):
        if self.alignment is not None and not self.alignment.built:
            shape = (None, None, *self._matched_shape)
            self.alignment.build(shape, shape)

    @property
    def alignment_loss(self):
        """Mean divergence of this layer since its metrics were reset, unweighted.

        A scalar tensor; `None` for a layer without alignment. JAX's `fit` tracks none.
        """
        tracker = self._alignment_tracker
        return None if tracker is None else tracker.mean()

    @property
    def log_alignment_loss(self):
        """Whether `fit` also logs this layer's own loss, `alignment_loss/<name>`.

        Not on JAX. Copies of the layer and files do not have it. Of several layers of
        one name in a model the second logs `alignment_loss/<name>_2`, and so on.
        """
        tracker = self._alignment_tracker
        return tracker is not None and tracker.reporting_layer

    @log_alignment_loss.setter
    def log_alignment_loss(self, value):
        if self._alignment_tracker is None:
            raise ValueError(
                "`log_alignment_loss` needs a layer with an alignment. "
                f"Received: layer '{self.name}' with alignment=None"
            )
        self._alignment_tracker.reporting_layer = bool(value)

    @property
    def alignment_options(self):
        """Serialised alignment and its weight as a number, or `None` without one."""
        if self.alignment is None:
            return None
        alignment = serialize_alignment(self.alignment)
        return {"alignment": alignment, "alignment_weight": self._weight_value}

    @property
    def _weight_value(self):
        weight = self.alignment_weight
        if isinstance(weight, keras.Variable):
            return float(ops.convert_to_numpy(weight))
        return weight

    @keras_internals.full_precision()
    def _add_alignment_loss(self, query, key, query_mask, key_mask):
        """Adds the weighted divergence of one call.

        Args:
            query: projected queries `(B, T, N, H)`.
            key: projected keys `(B, S, N, H)`.
            query_mask: boolean `(B, T)`, with 1 for B, or `None`.
            key_mask: boolean `(B, S)`, with 1 for B, or `None`.
        """
        query, key, query_mask, key_mask = self._match_heads(
            query, key, _of_tokens(query_mask, query), _of_tokens(key_mask, key)
        )
        divergence = self.alignment(
            query, key, query_mask=query_mask, key_mask=key_mask
        )  # (B, N)
        check_divergence(divergence, self.alignment)
        count = ops.cast(ops.size(divergence), "float32")  # 0 in an empty batch
        loss = ops.sum(divergence) / ops.maximum(count, 1.0)
        self._track(loss, count)
        self._calls += 1
        # A layer called n times in a step counts as the mean of its calls.
        change = (loss - self._loss_of_calls) / self._calls
        self._loss_of_calls = self._loss_of_calls + change
        weighted = ops.cast(self.alignment_weight, "float32") * change
        if self.alignment_factor is not None:
            weighted = weighted * ops.cast(self.alignment_factor, "float32")
        self._last_loss = ops.cast(weighted, keras.config.floatx())
        self.add_loss(self._last_loss)

    def _track(self, loss, weight):
        if keras_internals.losses_of_stateless_step() is not None:
            # A training step on JAX carries no metric of a layer through `call`.
            self._alignment_tracker.reporting = False
            return
        root = keras_internals.called_root()
        if root is None:
            return  # counted when it was computed first
        if not self._alignment_tracker.is_joined_in(root):
            layers = keras_internals.flattened(root)
            peers = (getattr(layer, "_alignment_tracker", None) for layer in layers)
            peers = dict.fromkeys(peer for peer in peers if peer is not None)
            self._alignment_tracker.join(root, tuple(peers))
        self._alignment_tracker.reporting = True
        self._alignment_tracker.update_state(loss, weight)

    def _clear_losses(self):
        of_step = keras_internals.losses_of_stateless_step() or ()
        if any(loss is self._last_loss for loss in of_step):
            return  # on JAX each call of a shared layer in one step arrives here
        self._loss_of_calls, self._calls = 0.0, 0
        super()._clear_losses()

    def save_own_variables(self, store):
        """Saves all but the variables that are settings: a weight and its factor."""
        settings = self.alignment_weight, self.alignment_factor
        with keras_internals.without_variables(self, settings):
            super().save_own_variables(store)

    def load_own_variables(self, store):
        """The inverse of `save_own_variables`."""
        settings = self.alignment_weight, self.alignment_factor
        with keras_internals.without_variables(self, settings):
            super().load_own_variables(store)


def check_divergence(divergence, alignment):
    """Raises unless an alignment returned what `Alignment` asks for."""
    dtype = keras.backend.standardize_dtype(getattr(divergence, "dtype", "int32"))
    if not keras.backend.is_float_dtype(dtype) or len(divergence.shape) != 2:
        raise ValueError(
            f"{type(alignment).__name__}.call must return a float tensor (B, N), the "
            f"divergence of every sample and head. Received: {divergence}"
        )


def check_weight(weight, alignment):
    """Returns the weight to use, the alignment's default for `None`, or raises."""
    if weight is None:
        return (alignment or Alignment).default_weight
    if isinstance(weight, keras.Variable) and tuple(weight.shape) == ():
        return weight
    is_number = isinstance(weight, numbers.Real) and not isinstance(weight, bool)
    if is_number and 0.0 <= weight < float("inf"):
        return float(weight)
    raise ValueError(
        "Argument `alignment_weight` must be a finite number >= 0, a scalar "
        f"keras.Variable or None. Received: alignment_weight={weight!r}"
    )


def _of_tokens(mask, x):
    """Gives a mask that lacks the batch axis, or has 1 there, the shape `(B, T)`."""
    return None if mask is None else ops.broadcast_to(mask, ops.shape(x)[:2])
