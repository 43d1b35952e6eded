"""The graph attention network of Velickovic et al."""

from typing import Any

import keras

from keras_align.layers import GraphAttention
from keras_align.layers.argument_types import Regularizer
from keras_align.models.single_layers import (
    with_single_layers,
    without_single_layers,
)
from keras_align.validation import checks

_SETTINGS = (
    *("num_features", "num_classes", "units", "num_heads", "num_layers"),
    *("output_heads", "activation", "dropout", "attention_dropout"),
    *("feature_dropout", "scoring", "add_self_loops", "masked", "sparse"),
    *("regularizer", "seed"),
)


@keras.saving.register_keras_serializable(package="keras_align")
class GraphAttentionNetwork(keras.Model):
    """Layers of graph attention for the classification of nodes.

    Every layer but the last concatenates `num_heads` heads of `units` and applies
    `activation`; the last averages `output_heads` heads of `num_classes`, which are
    logits. Sizes and dropout are by default those of the paper for Cora and Citeseer;
    for its penalty of all weights, too, pass the regularizer `L2(2.5e-4)`, and
    `L2(5e-4)` for Pubmed. For alignment attention call `keras_align.align_model`.

    Source: Velickovic et al., "Graph Attention Networks", ICLR 2018, section 3.3;
    `feature_dropout` is in the authors' code alone.

    Args:
        num_features: int, features of a node, `F`.
        num_classes: int, `C`.
        units: int, size of a hidden head. Defaults to `8`.
        num_heads: int. Defaults to `8`.
        num_layers: int. Defaults to `2`.
        output_heads: int. Defaults to `1`; the paper has 8 for Pubmed.
        activation: defaults to `"elu"`.
        dropout: float in [0, 1), of the inputs of every layer. Defaults to `0.6`.
        attention_dropout: float in [0, 1), of the attention weights. Defaults to `0.6`.
        feature_dropout: float in [0, 1), of the projected features. Defaults to `0.6`.
        scoring: `"gat"` or `"gatv2"`, see `GraphAttention`. Defaults to `"gat"`.
        add_self_loops: bool. Defaults to `True`.
        masked: bool, whether the inputs have `"node_mask"` and `"edge_mask"`, for
            padded graphs. Defaults to `False`.
        sparse: bool, whether the input `"features"` is a sparse tensor, see
            `keras.Input`; not on PyTorch. Defaults to `False`.
        regularizer: of all weights. Defaults to `None`.
        seed: int or `None`, of dropout.
        **kwargs: `name`, `dtype` and `trainable`.

    Call arguments:
        inputs: dict of `"features"`, float `(n, F)`, and `"edges"`, int32 `(m, 2)`;
            with `masked` also `"node_mask"` `(n,)` and `"edge_mask"` `(m,)`, boolean.

    Returns:
        `(n, C)`, logits.

    Example:

    >>> network = keras_align.models.GraphAttentionNetwork(4, 3)
    >>> _ = keras_align.align_model(network, "gan")
    >>> network.compile(
    ...     "adam",
    ...     keras.losses.SparseCategoricalCrossentropy(
    ...         from_logits=True, reduction="mean_with_sample_weight"
    ...     ),
    ...     weighted_metrics=["accuracy"],
    ... )
    >>> graph = {"features": np.ones((3, 4)), "edges": np.array([[0, 1], [1, 2]])}
    >>> labels, train = np.array([0, 1, 2]), np.array([1.0, 1.0, 0.0])
    >>> batch = keras_align.training.full_batch(graph, labels, train)
    >>> _ = network.fit(batch, epochs=1, shuffle=False, verbose=0)
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        units: int = 8,
        num_heads: int = 8,
        num_layers: int = 2,
        output_heads: int = 1,
        activation: Any = "elu",
        dropout: float = 0.6,
        attention_dropout: float = 0.6,
        feature_dropout: float = 0.6,
        scoring: str = "gat",
        add_self_loops: bool = True,
        masked: bool = False,
        sparse: bool = False,
        regularizer: Regularizer = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        checks.positive_integer("num_features", num_features)
        checks.positive_integer("num_classes", num_classes)
        checks.positive_integer("num_layers", num_layers)
        activation = keras.activations.get(activation)
        regularizer = keras.regularizers.get(regularizer)
        values = (
            *(num_features, num_classes, units, num_heads, num_layers, output_heads),
            *(activation, dropout, attention_dropout, feature_dropout, scoring),
            *(add_self_loops, masked, sparse, regularizer, seed),
        )
        settings = dict(zip(_SETTINGS, values, strict=True))
        checks.keras_arguments("GraphAttentionNetwork", kwargs)
        policy = keras.dtype_policies.get(kwargs.get("dtype"))
        inputs = _inputs(num_features, masked, sparse)
        outputs = dict(inputs)
        for layer in _graph_layers(settings, policy):
            outputs["features"] = layer(**outputs)
        super().__init__(inputs=inputs, outputs=outputs["features"], **kwargs)
        self._settings, self._policy = settings, policy
        self._keys = sorted(inputs)

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        # Keras would take other keys in the order of their names.
        if isinstance(inputs, dict) and sorted(inputs) != self._keys:
            raise ValueError(
                f"Argument `inputs` must have the keys {list(self._keys)}; masks need "
                f"`masked=True`. Received: {sorted(inputs)}"
            )
        return super().call(inputs, training=training, mask=mask)

    def get_config(self) -> dict[str, Any]:
        settings = dict(self._settings)
        activation, regularizer = settings["activation"], settings["regularizer"]
        settings["activation"] = keras.activations.serialize(activation)
        settings["regularizer"] = keras.regularizers.serialize(regularizer)
        own = {"name": self.name, "trainable": self.trainable}
        # A functional model has a policy of its own, always float32.
        return with_single_layers({**settings, **own}, self, self._policy)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        arguments, freeze = without_single_layers(config)
        network = cls(**arguments)
        freeze(network)
        return network


def _inputs(num_features, masked, sparse):
    inputs = {
        "features": keras.Input((num_features,), sparse=sparse, name="features"),
        "edges": keras.Input((2,), dtype="int32", name="edges"),
    }
    names = ("edge_mask", "node_mask") if masked else ()
    masks = {name: keras.Input((), dtype="bool", name=name) for name in names}
    return inputs | masks


def _graph_layers(settings, dtype):
    """The hidden layers, then that of the logits."""
    names = (
        *("dropout", "attention_dropout", "feature_dropout"),
        *("scoring", "add_self_loops"),
    )
    shared = {name: settings[name] for name in names} | {"dtype": dtype}
    of_all = ("kernel_regularizer", "attention_regularizer", "bias_regularizer")
    shared |= dict.fromkeys(of_all, settings["regularizer"])
    first, last = settings["seed"], settings["num_layers"] - 1
    seeds = [None if first is None else first + k for k in range(last + 1)]
    for number in range(last):
        yield GraphAttention(
            settings["units"],
            settings["num_heads"],
            activation=settings["activation"],
            name=f"graph_attention_{number + 1}",
            seed=seeds[number],
            **shared,
        )
    yield GraphAttention(
        settings["num_classes"],
        settings["output_heads"],
        concat_heads=False,
        name="logits",
        seed=seeds[last],
        **shared,
    )
