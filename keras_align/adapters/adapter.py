"""Where an attention class keeps its queries, its keys and its mask."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_align import keras_internals
from keras_align.adapters import captured, usual_names
from keras_align.adapters.attention_dropout import AttentionDropout
from keras_align.adapters.capturing import calling_method, captured_arguments, watched
from keras_align.adapters.projection_weights import ProjectionWeights
from keras_align.adapters.symmetries import Symmetry, get_symmetry
from keras_align.adapters.tokens_of_call import USUAL, TokensOfCall
from keras_align.adapters.usual_names import check_parameter, first_number
from keras_align.divergences.numerics import Tensor

_ATTEND = keras_internals.COMPUTE_ATTENTION


class AttentionAdapter(TokensOfCall):
    """Tells the alignment what it must know about an attention class.

    By default everything is found under the usual names. Queries and keys are the first
    two arguments of the layer's method `_compute_attention`; in a layer without one
    they are the outputs of its query and key projections. So they are taken as late as
    possible, after normalisation and rotary embedding where the class has such a
    method: the vectors whose products are the attention scores should follow one
    distribution.

    Subclass it for a class that works differently, and override what differs.

    Args:
        query: string, attribute that holds the layer which projects queries. `None`,
            the default, for one of the usual names. Queries and keys are the outputs of
            named projections in a layer with `_compute_attention` too.
        key: string, the same for keys; given if `query` is.
        num_heads: string, attribute with the number of query heads, `None` as above.
        num_key_heads: string, attribute with the number of key heads; as many as query
            heads if there is none of the usual names.
        head_size: string, attribute with the size of a head. If there is none, it is
            read from the key projection's weights.
        mask: string, argument of `call` with the mask: `(B, S)`, `(B, T, S)` or
            `(B, N, T, S)`, also with 1 for any axis but the last, True or nonzero for
            what may be attended to. `None` if there is none. By default
            `"attention_mask"` or, in self-attention, `"mask"`, which Keras fills with
            the mask of an embedding. The masks that Keras fills in for the arguments
            with the tokens of queries and keys, as `query_mask`, count in any case.
        key_source: string, argument of `call` with the tokens of which keys are made.
            If it is given to a call, and is not the very tensor of the queries, that
            call is cross-attention. `None` if queries and keys are always of the same
            tokens. By default one of the usual names, as `"key"`, `"value"`,
            `"encoder_hidden_states"`, `"context"` or `"memory"`. Queries are made of
            the argument `query`, or else of the first.
        additive_mask: bool, whether the mask is added to the scores: zero for what may
            be attended to, a large negative number elsewhere. Defaults to `False`.
        symmetry: string, which changes of queries and keys leave the attention weights
            as they are, for `match_moments`: `"full"` if scores are a softmax of
            products of queries and keys, with anything added that does not depend on
            them; `"rotary"` if features `i` and `i + H / 2` turn with the position;
            `"scale"` for other rotary positions. `None`, the default, if not known.
        heads_first: bool, whether `_compute_attention` is given `(B, N, T, H)` and not
            `(B, T, N, H)`. Defaults to `False`. The wrong one is an error, but for a
            layer that always sees as many tokens as it has heads.

    Example:

    >>> class MyAttention(keras.layers.Layer):
    ...     def __init__(self, num_heads, head_dim, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.num_heads, self.head_dim = num_heads, head_dim
    ...         self.to_q, self.to_k, self.to_v = (
    ...             keras.layers.Dense(num_heads * head_dim) for _ in range(3)
    ...         )
    >>> adapter = keras_align.AttentionAdapter(query="to_q", key="to_k")
    >>> _ = keras_align.register_attention(MyAttention, adapter)
    """

    attends_once = True  # `_compute_attention` is called once in a call of the layer

    def __init__(
        self,
        *,
        query: str | None = None,
        key: str | None = None,
        num_heads: str | None = None,
        num_key_heads: str | None = None,
        head_size: str | None = None,
        mask: str | None = USUAL,
        key_source: str | None = USUAL,
        additive_mask: bool = False,
        heads_first: bool = False,
        symmetry: str | Symmetry | None = None,
    ) -> None:
        if (query is None) != (key is None) or (query and heads_first):
            raise ValueError(
                "Arguments `query` and `key` must be given together, and without "
                "`heads_first`, which is of `_compute_attention`. Received: "
                f"query={query!r}, key={key!r}, heads_first={heads_first}"
            )
        super().__init__(mask, key_source, additive_mask)
        self._query, self._key = query, key
        self._num_heads, self._num_key_heads = num_heads, num_key_heads
        self._head_size = head_size
        self._heads_first = heads_first
        self._symmetry = get_symmetry(symmetry)

    def projections(self, layer: keras.layers.Layer) -> list[keras.layers.Layer]:
        """The layers whose weights make queries and keys, as a list."""
        pairs: tuple[tuple[str, str], ...] = usual_names.PROJECTIONS
        if self._query and self._key:
            pairs = ((self._query, self._key),)
        for names in pairs:
            found = [getattr(layer, name, None) for name in names]
            if all(isinstance(each, keras.layers.Layer) for each in found):
                return found
        raise ValueError(
            f"Layer '{layer.name}' of class {type(layer).__name__} has no projections "
            f"of queries and keys under the names {pairs}."
        )

    def num_heads(self, layer: keras.layers.Layer) -> int:
        """Number of query heads."""
        names = [self._num_heads] if self._num_heads else usual_names.NUM_HEADS
        number = first_number(layer, names)
        if number is None:
            raise ValueError(
                f"Layer '{layer.name}' of class {type(layer).__name__} does not tell "
                f"the number of its heads under the names {names}."
            )
        return number

    def num_key_heads(self, layer: keras.layers.Layer) -> int:
        """Number of key heads."""
        names = (
            [self._num_key_heads] if self._num_key_heads else usual_names.NUM_KEY_HEADS
        )
        return first_number(layer, names) or self.num_heads(layer)

    def head_size(self, layer: keras.layers.Layer) -> int:
        """Size of a query or key head."""
        names = [self._head_size] if self._head_size else usual_names.HEAD_SIZE
        number = first_number(layer, names)
        return self.head_size_of_weights(layer) if number is None else number

    def head_size_of_weights(self, layer: keras.layers.Layer) -> int:
        """Size of a head, read from the key projection's weights."""
        kernel = self.projections(layer)[1].kernel  # (E, K, H) or (E, K * H)
        flat = len(kernel.shape) == 2
        return kernel.shape[-1] // (self.num_key_heads(layer) if flat else 1)

    def symmetry(self, layer: keras.layers.Layer) -> Symmetry:
        """Which changes of queries and keys leave the attention as it is."""
        return self._symmetry

    def head_weights(
        self, layer: keras.layers.Layer
    ) -> tuple[ProjectionWeights, ProjectionWeights]:
        """The weights of the projections of queries and of keys, by heads.

        Raises:
            ValueError: with a clause that says why they cannot be changed.
        """
        query, key = self.projections(layer)
        size = self.head_size(layer)
        heads = self.num_heads(layer), self.num_key_heads(layer)
        of_query, of_key = (np.arange(n * size).reshape(n, size) for n in heads)
        return ProjectionWeights(query, of_query), ProjectionWeights(key, of_key)

    def check(self, layer: keras.layers.Layer) -> None:
        """Raises ValueError if it does not find in a built layer what it needs."""
        self.num_heads(layer), self.num_key_heads(layer), self.head_size(layer)
        own_capture = type(self).capture is not AttentionAdapter.capture
        if self._query or not (own_capture or hasattr(layer, _ATTEND)):
            query, *key = self.projections(layer)
            if key == [query]:
                raise ValueError(
                    f"Layer '{layer.name}' of class {type(layer).__name__} has one "
                    "projection for queries and keys. Leave it out with `layers`."
                )
        named = {"mask": self._mask, "key_source": self._key_source}
        for argument, name in named.items():
            if name not in (None, USUAL):
                check_parameter(layer, argument, name)

    def capture(
        self, layer: keras.layers.Layer
    ) -> AbstractContextManager[list[tuple[Tensor, Tensor]]]:
        """Context manager that notes queries and keys while the layer is called.

        Args:
            layer: the attention layer.

        Returns:
            Context manager that yields a list, empty at first, of pairs of query
            `(B, T, N, H)` and key `(B, S, K, H)`, or `(B, S, N, H)` with the head of a
            group repeated. There are several if the layer attends several times.
        """
        if self._query or not hasattr(layer, _ATTEND):
            return self.captured_projections(layer)
        pairs = captured_arguments(layer, _ATTEND)
        if not self._heads_first:
            return pairs
        return captured.converted(pairs, lambda x: ops.transpose(x, (0, 2, 1, 3)))

    @contextlib.contextmanager
    def captured_projections(
        self, layer: keras.layers.Layer
    ) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """As `capture`, from the outputs of the projections."""
        query, key = self.projections(layer)
        queries, keys, pairs = [], [], []
        note_query = captured.splitting(queries, self, layer, self.num_heads(layer))
        note_key = captured.splitting(keys, self, layer, self.num_key_heads(layer))
        with (
            watched(query, calling_method(query), note_query),
            watched(key, calling_method(key), note_key),
        ):
            yield pairs
        captured.check_calls(layer, queries, keys)
        pairs.extend(zip(queries, keys, strict=True))

    def attention_dropouts(self, layer: keras.layers.Layer) -> list[AttentionDropout]:
        """Where the layer drops attention weights, at a rate above 0.

        By default its sublayers of the class `keras.layers.Dropout`.
        """
        inside = keras_internals.sublayers(layer)
        drops = [x for x in inside if isinstance(x, keras.layers.Dropout) and x.rate]
        return [AttentionDropout(x, "call", x.seed_generator) for x in drops]

    def call_with_scores(
        self,
        layer: keras.layers.Layer,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[Any, Tensor | None]:
        """Outputs of a call, and its attention weights `(B, N, T, S)` or `None`."""
        return call(*args, **kwargs), None
