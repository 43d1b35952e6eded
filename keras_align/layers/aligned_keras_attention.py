"""What the aligned subclasses of the attention layers of Keras share."""

import contextlib

from keras_align.adapters.capturing import captured_arguments
from keras_align.adapters.token_masks import both, token_masks
from keras_align.layers.aligned_attention import AlignedAttention

_INPUTS = ("query", "value", "key")
_NOTHING = contextlib.nullcontext(())


class AlignedKerasAttention(AlignedAttention):
    """Mixin for a layer with the call arguments of `keras.layers.MultiHeadAttention`.

    That layer attends in `_compute_attention`.
    """

    def __call__(self, *args, **kwargs):
        # Before casts, which make two tensors of one.
        given = {**dict(zip(_INPUTS, args, strict=False)), **kwargs}
        query, source = given.get("query"), given.get("key")
        source = given.get("value") if source is None else source
        self._self_attention = query is source and query is not None
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
        training_call = self._notes_training(training)
        captured = captured_arguments(self) if training_call else _NOTHING
        with captured as projected:
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
            source = value if key is None else key
            same = query is source or bool(self._self_attention)
            key_mask = both(value_mask, key_mask)
            query, key, *masks = self._flatten(
                *projected[0], query_mask, key_mask, attention_mask
            )
            self._add_alignment_loss(query, key, *token_masks(*masks, same))
        return outputs

    def _flatten(self, query, key, query_mask, key_mask, attention_mask):
        """Brings inputs with several token axes to `(B, T, N, H)`, `(B, S, N, H)`."""
        return query, key, query_mask, key_mask, attention_mask
