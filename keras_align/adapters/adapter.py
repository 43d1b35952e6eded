"""Where an attention class keeps its queries, its keys and its mask."""

import contextlib

import keras
from keras import ops

from keras_align.adapters import usual_names
from keras_align.layers.capturing import calling_method, captured_arguments, watched
from keras_align.layers.token_masks import token_masks

_ATTEND = "_compute_attention"
_USUAL = "usual"


class AttentionAdapter:
    """Tells the alignment what it must know about an attention class.

    By default everything is found under the usual names. Queries and keys are the first
    two arguments of the layer's method `_compute_attention`; in a layer without one
    they are the outputs of its query and key projections. So they are taken as late as
    possible: after normalisation and rotary embedding where the class has such a
    method. What meets in the attention scores is what should be alike; and a rotation
    by the position turns queries and keys alike, so in self-attention it takes nothing
    from their agreement.

    Subclass it for a class that does otherwise, and override what differs.

    Args:
        query: string, attribute that holds the layer which projects queries. `None`,
            the default, for one of the usual names.
        key: string, the same for keys.
        num_heads: string, attribute with the number of query heads, `None` as above.
        num_key_heads: string, attribute with the number of key heads; as many as query
            heads if there is none of the usual names.
        head_size: string, attribute with the size of a head. If there is none, it is
            read from the key projection's weights.
        mask: string, argument of `call` with the mask: `(B, S)`, `(B, T, S)` or
            `(B, N, T, S)`, also with 1 for any axis but the last, True or nonzero for
            what may be attended to. `None` if there is none. By default
            `"attention_mask"` or, in self-attention, `"mask"`, which Keras fills with
            the mask of an embedding. The masks that Keras fills in for arguments
            `query`, `value` and `key` count in any case.
        additive_mask: bool, whether the mask is added to the scores: zero for what may
            be attended to, a large negative number elsewhere. Defaults to `False`.
        heads_first: bool, whether `_compute_attention` is given `(B, N, T, H)` and not
            `(B, T, N, H)`. Defaults to `False`.

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

    def __init__(
        self,
        *,
        query=None,
        key=None,
        num_heads=None,
        num_key_heads=None,
        head_size=None,
        mask=_USUAL,
        additive_mask=False,
        heads_first=False,
    ):
        self._query, self._key = query, key
        self._num_heads, self._num_key_heads = num_heads, num_key_heads
        self._head_size = head_size
        self._mask, self._additive = mask, additive_mask
        self._heads_first = heads_first

    def projections(self, layer):
        """The layers whose weights make queries and keys, as a list."""
        pairs = [(self._query, self._key)] if self._query else usual_names.PROJECTIONS
        for names in pairs:
            found = [getattr(layer, name, None) for name in names]
            if all(isinstance(each, keras.layers.Layer) for each in found):
                return found
        raise ValueError(
            f"Layer '{layer.name}' of class {type(layer).__name__} has no projections "
            f"of queries and keys under the names {pairs}."
        )

    def num_heads(self, layer):
        """Number of query heads."""
        names = [self._num_heads] if self._num_heads else usual_names.NUM_HEADS
        number = _first_number(layer, names)
        if number is None:
            raise ValueError(
                f"Layer '{layer.name}' of class {type(layer).__name__} does not tell "
                f"the number of its heads under the names {names}."
            )
        return number

    def num_key_heads(self, layer):
        """Number of key heads."""
        names = (
            [self._num_key_heads] if self._num_key_heads else usual_names.NUM_KEY_HEADS
        )
        return _first_number(layer, names) or self.num_heads(layer)

    def head_size(self, layer):
        """Size of a query or key head."""
        names = [self._head_size] if self._head_size else usual_names.HEAD_SIZE
        number = _first_number(layer, names)
        return self.head_size_of_weights(layer) if number is None else number

    def head_size_of_weights(self, layer):
        """Size of a head, read from the key projection's weights."""
        kernel = self.projections(layer)[1].kernel  # (E, K, H) or (E, K * H)
        flat = len(kernel.shape) == 2
        return kernel.shape[-1] // (self.num_key_heads(layer) if flat else 1)

    def check(self, layer):
        """Raises ValueError if it does not find in a built layer what it needs."""
        self.num_heads(layer), self.num_key_heads(layer), self.head_size(layer)
        own_capture = type(self).capture is not AttentionAdapter.capture
        if not own_capture and not hasattr(layer, _ATTEND):
            self.projections(layer)

    def check_captured(self, layer, query, key):
        """Raises ValueError unless queries and keys have the heads of the layer."""
        heads, size = self.num_heads(layer), self.head_size(layer)
        of_keys = heads, self.num_key_heads(layer)
        right = tuple(query.shape[2:]) == (heads, size) and key.shape[3:] == (size,)
        if not right or key.shape[2] not in of_keys:
            raise ValueError(
                f"Layer '{layer.name}' should have queries (B, T, {heads}, {size}) and "
                f"keys (B, S, {of_keys[1]}, {size}), as its attributes say. Its "
                f"adapter found {tuple(query.shape)}, {tuple(key.shape)}. Register the "
                "class with an AttentionAdapter that names the right attributes, or "
                "with `heads_first=True`."
            )

    def is_self_attention(self, layer, arguments):
        """Whether queries and keys of a call are of the same tokens.

        Args:
            layer: the attention layer.
            arguments: dict, the arguments of `call` by name.
        """
        sources = ("key", "value", "key_value_states", "encoder_hidden_states")
        given = [arguments[x] for x in sources if arguments.get(x) is not None]
        return not given or given[0] is next(iter(arguments.values()))

    def token_masks(self, layer, arguments, self_attention):
        """Which queries and keys of a call are real tokens.

        Args:
            layer: the attention layer.
            arguments: dict, the arguments of `call` by name.
            self_attention: bool, see `is_self_attention`.

        Returns:
            Pair of boolean tensors `(B, T)` and `(B, S)`; either may be `None`, or have
            1 in the place of B. In cross-attention a mask of keys alone says nothing
            of the queries: they all count then.
        """
        source = "value" if arguments.get("key") is None else "key"
        masks = (arguments.get(f"{name}_mask") for name in ("query", source))
        mask = self._attention_mask(arguments, self_attention)
        return token_masks(*masks, mask, self_attention)

    def _attention_mask(self, arguments, self_attention):
        """The mask of a call as booleans, with two axes or more for the tokens."""
        names = [self._mask]
        if self._mask == _USUAL:
            names = ["attention_mask", "mask"] if self_attention else ["attention_mask"]
        given = (arguments.get(name) for name in names)
        mask = next((each for each in given if each is not None), None)
        if mask is None:
            return None
        mask = ops.convert_to_tensor(mask)
        mask = ops.greater(mask, -1.0) if self._additive else ops.cast(mask, "bool")
        return mask[:, None] if len(mask.shape) == 2 else mask  # (B, 1, S)

    def capture(self, layer):
        """Context manager that notes queries and keys while the layer is called.

        Args:
            layer: the attention layer.

        Returns:
            Context manager that yields a list, empty at first, of pairs of query
            `(B, T, N, H)` and key `(B, S, K, H)`, or `(B, S, N, H)` with the head of a
            group repeated. There are several if the layer attends several times.
        """
        if not hasattr(layer, _ATTEND):
            return self.captured_projections(layer)
        captured = captured_arguments(layer, _ATTEND)
        return _heads_second(captured) if self._heads_first else captured

    @contextlib.contextmanager
    def captured_projections(self, layer):
        """As `capture`, from the outputs of the projections."""
        query, key = self.projections(layer)
        queries, keys, pairs = [], [], []
        shapes = self.num_heads(layer), self.num_key_heads(layer)
        size = self.head_size(layer)

        def note(kept, heads):
            def keep(args, kwargs, result):
                kept.append(split_heads(result, heads, size))
                if len(queries) == len(keys):
                    pairs.append((queries[-1], keys[-1]))

            return keep

        with (
            watched(query, calling_method(query), note(queries, shapes[0])),
            watched(key, calling_method(key), note(keys, shapes[1])),
        ):
            yield pairs


def split_heads(x, num_heads, head_size):
    """`(B, ..., N, H)` or `(B, ..., N * H)` -> `(B, T, N, H)`, `T` all axes between."""
    shape = tuple(x.shape)
    if shape[-1] != num_heads * head_size and shape[-2:] != (num_heads, head_size):
        raise ValueError(
            f"A projection of {num_heads} heads of size {head_size}, as the layer's "
            f"attributes say, cannot have the shape {shape}. Register the class with "
            "an AttentionAdapter that names the right attributes."
        )
    return ops.reshape(x, (ops.shape(x)[0], -1, num_heads, head_size))


@contextlib.contextmanager
def _heads_second(captured):
    pairs = []
    with captured as heads_first:
        yield pairs
        for pair in heads_first:
            pairs.append(tuple(ops.transpose(x, (0, 2, 1, 3)) for x in pair))


def _first_number(layer, names):
    values = (getattr(layer, name, None) for name in names)
    return next((value for value in values if isinstance(value, int)), None)
