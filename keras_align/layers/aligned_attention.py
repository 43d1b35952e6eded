"""What every aligned attention layer shares."""

import contextlib

import keras
from keras import ops
from keras.src.backend import get_stateless_scope, in_stateless_scope

from keras_align.alignments import Alignment, get_alignment, serialize_alignment
from keras_align.layers.alignment_loss import AlignmentLoss

_INPUTS = ("query", "value", "key")


class AlignedAttention:
    """Mixin that adds the alignment loss of keys and queries to an attention layer.

    It stands before the Keras layer that it extends. That layer has the call arguments
    of `keras.layers.MultiHeadAttention` and attends in `_compute_attention`. Outside
    training nothing is added to the Keras layer's computation.
    """

    def _set_alignment(self, alignment, alignment_weight):
        self.alignment = get_alignment(alignment)
        self.alignment_weight = check_weight(alignment_weight, self.alignment)
        if isinstance(self.alignment_weight, keras.Variable):
            self.alignment_weight.trainable = False  # a setting, nothing to be learned
        self._self_attention = False
        self._loss_of_calls, self._calls, self._last_loss = 0.0, 0, None
        self._alignment_tracker = None if self.alignment is None else AlignmentLoss()

    def _build_alignment(self):
        if self.alignment is not None and not self.alignment.built:
            shape = (None, None, 1, self._head_size)
            self.alignment.build(shape, shape)
            self.alignment.built = True

    @property
    def alignment_loss(self):
        """Mean divergence of this layer since its metrics were reset, unweighted.

        A scalar tensor; `None` for a layer without alignment.
        """
        tracker = self._alignment_tracker
        return None if tracker is None else tracker.mean()

    def __call__(self, *args, **kwargs):
        # Before casts, which make two tensors of one.
        given = {**dict(zip(_INPUTS, args, strict=False)), **kwargs}
        source = given.get("value") if given.get("key") is None else given["key"]
        self._self_attention = given.get("query") is source
        return super().__call__(*args, **kwargs)

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        if self._alignment_tracker is not None:
            self._alignment_tracker.reporting = bool(training)
        captured = self._capture if training and self.alignment else _nothing
        with captured() as projected:
            outputs = super().call(
                query,
                value,
                key=key,
                query_mask=query_mask,
                value_mask=value_mask,
                key_mask=key_mask,
                attention_mask=attention_mask,
                return_attention_scores=return_attention_scores,
                training=training,
                use_causal_mask=use_causal_mask,
            )
        if projected:
            masks = (None, None)
            if len(query.shape) == 3:
                key_mask = value_mask if key is None else key_mask
                masks = token_masks(
                    query_mask, key_mask, attention_mask, self._self_attention
                )
            self._add_alignment_loss(*projected, *masks)
        return outputs

    @contextlib.contextmanager
    def _capture(self):
        """Notes the projected queries and keys that `super().call` works with.

        An overridden `_compute_attention` would make Keras give up its native causal
        kernel; one in the instance, for the time of a training call, does not.
        """
        projected = []
        compute_attention = self._compute_attention

        def note(query, key, *args, **kwargs):
            projected.extend((query, key))
            return compute_attention(query, key, *args, **kwargs)

        self.__dict__["_compute_attention"] = note
        try:
            yield projected
        finally:
            del self.__dict__["_compute_attention"]

    def _add_alignment_loss(self, query, key, query_mask, key_mask):
        query_mask, key_mask = _of_tokens(query_mask, query), _of_tokens(key_mask, key)
        query, key, query_mask, key_mask = self._match_heads(
            query, key, query_mask, key_mask
        )
        divergence = self.alignment(
            query, key, query_mask=query_mask, key_mask=key_mask
        )  # (B, N)
        loss = ops.mean(divergence)
        self._track(loss)
        self._calls += 1
        # A layer called n times in a step counts as the mean of its calls.
        change = (loss - self._loss_of_calls) / self._calls
        self._loss_of_calls = self._loss_of_calls + change
        self._last_loss = ops.cast(self.alignment_weight, "float32") * change
        self.add_loss(self._last_loss)

    def _track(self, loss):
        if keras.backend.backend() == "jax" and in_stateless_scope():
            # A training step on JAX carries no metric of a layer through `call`.
            self._alignment_tracker.reporting = False
            return
        model = self._get_call_context().entry_layer
        layers = [x for x in model._flatten_layers() if isinstance(x, AlignedAttention)]
        trackers = (x._alignment_tracker for x in layers if x.alignment is not None)
        self._alignment_tracker.join(tuple(dict.fromkeys(trackers)))
        self._alignment_tracker.update_state(loss)

    def _clear_losses(self):
        if in_stateless_scope():
            # On JAX each call of a shared layer in one step arrives here.
            of_step = get_stateless_scope().losses
            if any(loss is self._last_loss for loss in of_step):
                return
        self._loss_of_calls, self._calls = 0.0, 0
        super()._clear_losses()

    def save_own_variables(self, store):
        """Saves nothing: a variable `alignment_weight` is a number in the config."""

    def load_own_variables(self, store):
        """Loads nothing, see `save_own_variables`."""

    def get_config(self):
        weight = self.alignment_weight
        if isinstance(weight, keras.Variable):
            weight = float(ops.convert_to_numpy(weight))
        return {
            **super().get_config(),
            "alignment": serialize_alignment(self.alignment),
            "alignment_weight": weight,
        }


def check_weight(weight, alignment):
    """Returns the weight to use, the alignment's default for `None`, or raises."""
    if weight is None:
        return (alignment or Alignment).default_weight
    if isinstance(weight, keras.Variable) and tuple(weight.shape) == ():
        return weight
    is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if is_number and 0.0 <= weight < float("inf"):
        return float(weight)
    raise ValueError(
        "Argument `alignment_weight` must be a finite number >= 0, a scalar "
        f"keras.Variable or None. Received: alignment_weight={weight!r}"
    )


def token_masks(
    query_mask=None, key_mask=None, attention_mask=None, self_attention=False
):
    """Which queries and keys are real tokens.

    A key is real if some query may attend to it, a query if it may attend to some key.
    In self-attention both are the same tokens, and a token is real if it is real on
    both sides.

    Args:
        query_mask: boolean tensor `(B, T)` or `None`.
        key_mask: boolean tensor `(B, S)` or `None`.
        attention_mask: boolean tensor without the causal part, of shape `(B, T, S)`,
            `(B, N, T, S)` or with 1 in the place of any but the last, or `None`.
        self_attention: bool, whether queries and keys are projections of the same
            tokens.

    Returns:
        Pair of boolean tensors `(B, T)` and `(B, S)`; either may be `None`.
    """
    if attention_mask is not None:
        allowed = ops.cast(attention_mask, "bool")
        if len(allowed.shape) == 4:
            allowed = ops.any(allowed, axis=1)  # (B, T, S)
        key_mask = _both(key_mask, ops.any(allowed, axis=-2))
        if allowed.shape[-2] != 1:
            query_mask = _both(query_mask, ops.any(allowed, axis=-1))
    if self_attention:
        query_mask = key_mask = _both(query_mask, key_mask)
    return query_mask, key_mask


@contextlib.contextmanager
def _nothing():
    yield ()


def _of_tokens(mask, x):
    """Gives a mask that lacks the batch axis, or has 1 there, the shape `(B, T)`."""
    return None if mask is None else ops.broadcast_to(mask, ops.shape(x)[:2])


def _both(mask, other):
    if mask is None or other is None:
        return other if mask is None else mask
    return ops.logical_and(ops.cast(mask, "bool"), ops.cast(other, "bool"))
