"""Base class of the alignments, and the names under which they are found."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from keras_align import keras_internals
from keras_align.alignments import token_sampling
from keras_align.divergences.numerics import Tensor
from keras_align.validation import checks

_REGISTRY = {}


class Alignment(layers.Layer):
    """A way to match the distributions of queries and keys.

    An alignment is called with the projected queries and keys of an attention layer and
    returns their divergence for every sample and head. It owns the networks and weights
    that it needs. Subclass it for your own: implement `call` (and `build`, `get_config`
    where there are weights or options), decorate with `register_alignment` to give it a
    name that `alignment=` accepts and that survives saving.

    An attention layer calls its alignment in training on at most `max_tokens` real
    tokens of every sample, spread over it, others in every call; see `sample_tokens`.
    This bounds the time and memory of an alignment, whatever the length. Called
    directly, an alignment takes all tokens that it is given.

    Args:
        max_tokens: int > 1, or `None` for all tokens. Defaults to `None`; the built-in
            alignments have a default of their own.
        projections_only: bool or `None`, whether the loss trains the projections of
            queries and keys alone. If `True`, an attention layer projects their inputs
            a second time, behind `keras.ops.stop_gradient`, and its alignment is given
            those queries and keys: no gradient of the loss reaches the layers below. If
            `False`, it reaches them all. `None`, the default, is
            `default_projections_only` in attention layers of Keras and keras-hub, and
            `False` in others, as they may keep something of their last call. What a
            class computes between projections and attention, as norms of queries and
            keys, is trained too.
        **kwargs: arguments of `keras.layers.Layer`, as `name`.

    Class attributes:
        default_weight: float, factor of the divergence in the training loss when
            `alignment_weight` is not given.
        default_projections_only: bool, `projections_only` where that is `None`.

    Call arguments:
        query: float tensor `(B, T, N, H)`.
        key: float tensor `(B, S, N, H)`.
        query_mask: boolean tensor `(B, T)`, True for real tokens, or `None`.
        key_mask: boolean tensor `(B, S)`, True for real tokens, or `None`.

    Returns:
        float32 tensor `(B, N)`, 0 for a sample without a real token.

    Example:

    >>> @register_alignment("mean")
    ... class MeanAlignment(Alignment):
    ...     def call(self, query, key, query_mask=None, key_mask=None):
    ...         gap = keras.ops.mean(query, axis=1) - keras.ops.mean(key, axis=1)
    ...         return keras.ops.sum(keras.ops.square(gap), axis=-1)
    >>> layer = keras_align.AlignedMultiHeadAttention(2, 8, alignment="mean")
    """

    default_weight: float = 0.01
    default_projections_only: bool = False

    def __init__(
        self,
        max_tokens: int | None = None,
        projections_only: bool | None = None,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.max_tokens = max_tokens
        self.projections_only = projections_only

    @property
    def max_tokens(self) -> int | None:
        """Most tokens of a sample in training; set it before a step is traced."""
        return self._max_tokens

    @max_tokens.setter
    def max_tokens(self, value: int | None) -> None:
        if value is not None:
            checks.integer_at_least("max_tokens", value, 2)
            value = int(value)
        self._max_tokens = value

    @property
    def projections_only(self) -> bool | None:
        """Whether the loss trains the projections alone; then `compile` again."""
        return self._projections_only

    @projections_only.setter
    def projections_only(self, value: bool | None) -> None:
        if value is not None:
            checks.boolean("projections_only", value, "a bool or None")
        self._projections_only = value

    def build(self, query_shape: tuple, key_shape: tuple | None = None) -> None:
        """Creates the weights for queries `(B, T, N, H)` and keys `(B, S, N, H)`."""

    def call(
        self,
        query: Tensor,
        key: Tensor,
        query_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must implement `call`.")

    def compute_output_shape(
        self, query_shape: tuple, key_shape: tuple | None = None
    ) -> tuple:
        return (query_shape[0], query_shape[2])

    def sample_tokens(
        self,
        query: Tensor,
        key: Tensor,
        query_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        seed: int | keras.random.SeedGenerator | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Selects the tokens on which an attention layer calls the alignment.

        Every real token is selected with the same probability; in self-attention the
        queries are those of the tokens whose keys are selected. Where several query
        heads share a key head, the queries of the group are joined before, so that
        `max_tokens` of them are selected in all. See
        `token_sampling.sample_tokens`. Where there are at most `max_tokens` anyway,
        nothing is drawn and the arguments are returned.

        Args:
            query: float tensor `(B, T, N, H)`.
            key: float tensor `(B, S, N, H)`.
            query_mask: boolean tensor `(B, T)` or `None`.
            key_mask: boolean tensor `(B, S)` or `None`.
            seed: as in `keras.random.randint`; an attention layer has a generator.

        Returns:
            The arguments for a call, with `max_tokens` for T or S where it was more.
        """
        pairs = [(query, query_mask), (key, key_mask)]
        long = [token_sampling.needs_sampling(x, self.max_tokens) for x, _ in pairs]
        if self.max_tokens is not None and any(long):
            phases = token_sampling.draw_phases(self.max_tokens, seed)
            for index in (0, 1):
                if long[index]:
                    pairs[index] = token_sampling.sample_tokens(
                        *pairs[index], self.max_tokens, phases
                    )
        (query, query_mask), (key, key_mask) = pairs
        return query, key, query_mask, key_mask

    @keras_internals.default_method  # a subclass may leave its config to Keras
    def get_config(self) -> dict:
        config = super().get_config()
        if keras_internals.is_default_method(self.get_config):
            return config  # of the arguments that were given
        config = {**config, "max_tokens": self.max_tokens}
        if self.projections_only is not None:  # older subclasses need not know it
            config["projections_only"] = self.projections_only
        return config


def register_alignment(name: str) -> Callable[[type], type]:
    """Class decorator that registers an `Alignment` for saving and under `name`.

    Args:
        name: string, accepted by `alignment=` afterwards.

    Raises:
        ValueError: if the class is not an `Alignment`, the name is no string or
            empty, or it belongs to another.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(
            "Argument `name` must be a string that is not empty, as 'mine'. "
            f"Received: name={name!r}"
        )

    def register(cls):
        if not (isinstance(cls, type) and issubclass(cls, Alignment)):
            raise ValueError(
                "`register_alignment` expects a subclass of keras_align.Alignment. "
                f"Received: {cls!r}"
            )
        known = _REGISTRY.get(name)
        if known is not None and _full_name(known) != _full_name(cls):
            raise ValueError(
                f"Argument `name`: '{name}' is already the name of {known.__name__}."
            )
        _REGISTRY[name] = cls
        package = cls.__module__.split(".")[0]
        return keras.saving.register_keras_serializable(package=package)(cls)

    return register


def _full_name(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def get_alignment(identifier: Any) -> Alignment | None:
    """Returns the `Alignment` that an argument `alignment` describes.

    Args:
        identifier: a registered name ("ct", "gan", "ot", "mmd"), an `Alignment`, its
            serialised config, or `None`.

    Returns:
        A new `Alignment`, or `None`. Of a given one it is a copy with fresh weights, so
        that no two layers share networks.

    Raises:
        ValueError: for anything else.
    """
    if identifier is None:
        return None
    if isinstance(identifier, Alignment):
        return type(identifier).from_config(identifier.get_config())
    if isinstance(identifier, str) and identifier in _REGISTRY:
        return _REGISTRY[identifier]()
    if isinstance(identifier, dict):
        with contextlib.suppress(TypeError):  # the error of an unknown class
            alignment = keras.saving.deserialize_keras_object(identifier)
            if isinstance(alignment, Alignment):
                return alignment
    raise ValueError(
        f"Argument `alignment` must be one of {sorted(_REGISTRY)}, None, a "
        "keras_align.Alignment or its serialised config. "
        f"Received: alignment={identifier!r}"
    )


def serialize_alignment(alignment: Alignment | None) -> dict | None:
    """Returns the config from which `get_alignment` makes an equal alignment."""
    if alignment is None:
        return None
    config = keras.saving.serialize_keras_object(alignment)
    config.pop("build_config", None)  # the attention layer builds it in its own scope
    return config
