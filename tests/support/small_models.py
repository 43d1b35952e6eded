"""Small models with attention in every place where a user may have it."""

import keras
import numpy as np
from execution import BACKEND, QUICK_JIT

import keras_align

WIDTH, LENGTH, VOCABULARY = 16, 6, 40


@keras.saving.register_keras_serializable(package="small_models")
class Block(keras.layers.Layer):
    """A layer of a user: attention made in `__init__`."""

    def __init__(self, heads=2, attention=None, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        plain = keras.layers.MultiHeadAttention
        self.attention = attention or plain(heads, WIDTH // heads)
        self.norm = keras.layers.LayerNormalization()

    def build(self, input_shape):
        if not self.attention.built:
            self.attention.build(input_shape, input_shape)
        self.norm.build(input_shape)

    def call(self, x):
        return self.norm(x + self.attention(x, x))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package="small_models")
class Encoder(keras.Model):
    """A model of a user: blocks in a list, attention as attribute, no get_config."""

    def __init__(self, depth=2, **kwargs):
        super().__init__(**kwargs)
        self.depth = depth
        self.blocks = [Block(name=f"block_{index}") for index in range(depth)]
        self.last = keras.layers.GroupQueryAttention(8, 2, 1, name="last")
        self.head = keras.layers.Dense(1, name="head")

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x)
        return self.head(self.last(x, x)[:, 0])


def tokens(samples=8, seed=0):
    """Inputs of a BERT, with padding of several lengths."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, LENGTH + 1, (samples, 1))
    return {
        "token_ids": rng.integers(1, VOCABULARY, (samples, LENGTH)),
        "segment_ids": np.zeros((samples, LENGTH), "int64"),
        "padding_mask": np.arange(LENGTH)[None] < lengths,
    }


def vectors(samples=8, seed=0):
    """Inputs `(samples, LENGTH, WIDTH)`."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, LENGTH, WIDTH)).astype("float32")


def backbone(layers=2):
    """A `BertBackbone`: attention made in the `build` of a `TransformerEncoder`."""
    import keras_nlp

    return keras_nlp.models.BertBackbone(
        vocabulary_size=VOCABULARY,
        num_layers=layers,
        num_heads=2,
        hidden_dim=WIDTH,
        intermediate_dim=8,
        dropout=0.0,
        max_sequence_length=LENGTH,
        name="bert",
    )


def classifier():
    """A `BertTextClassifier`: a keras-nlp task around a backbone."""
    import keras_nlp

    return keras_nlp.models.BertTextClassifier(
        backbone(), num_classes=2, dropout=0.0, name="classifier"
    )


def pieces():
    """A functional model that takes layers out of a backbone."""
    whole = backbone()
    inputs = keras.Input((LENGTH, WIDTH))
    x = whole.get_layer("transformer_layer_0")(inputs)
    x = whole.get_layer("transformer_layer_1")(x)
    return keras.Model(inputs, keras.layers.Dense(1)(x[:, 0]), name="pieces")


def decoder():
    """Layers out of a Mistral, whose attention is a class of keras-hub's own."""
    import keras_nlp

    whole = keras_nlp.models.MistralBackbone(
        vocabulary_size=VOCABULARY,
        num_layers=2,
        num_query_heads=2,
        num_key_value_heads=1,
        hidden_dim=WIDTH,
        intermediate_dim=8,
        sliding_window=4,
    )
    inputs = keras.Input((LENGTH, WIDTH))
    x = whole.get_layer("transformer_layer_0")(inputs)
    inner = keras.Model(inputs, whole.get_layer("transformer_layer_1")(x))
    inputs = keras.Input((LENGTH, WIDTH))
    return keras.Model(inputs, keras.layers.Dense(1)(inner(inputs)[:, -1]))


def transformer():
    """A functional model with a keras-nlp layer as node."""
    import keras_nlp

    inputs = keras.Input((LENGTH, WIDTH))
    layer = keras_nlp.layers.TransformerEncoder(8, 2, name="transformer")
    return keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)[:, 0]))


def functional():
    """A functional model with attention as nodes, self and cross."""
    inputs = keras.Input((LENGTH, WIDTH))
    x = keras.layers.MultiHeadAttention(2, 8, name="self")(inputs, inputs)
    x = keras.layers.GroupQueryAttention(4, 4, 2, name="cross")(x, inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(x[:, 0]), name="functional")


def nested():
    """Functional models inside a functional model and a `Sequential`."""
    inner = keras.Input((LENGTH, WIDTH))
    x = Block(name="block")(inner)
    x = keras.layers.MultiHeadAttention(2, 8, name="attention")(x, x)
    inner = keras.Model(inner, x, name="inner")
    stack = keras.Sequential([keras.Input((LENGTH, WIDTH)), inner], name="stack")
    inputs = keras.Input((LENGTH, WIDTH))
    return keras.Model(inputs, keras.layers.Dense(1)(stack(inputs)[:, 0]))


def shared():
    """A model that calls one block three times, as ALBERT does."""
    inputs = x = keras.Input((LENGTH, WIDTH))
    block = Block(name="block")
    for _ in range(3):
        x = block(x)
    return keras.Model(inputs, keras.layers.Dense(1)(x[:, 0]), name="shared")


def subclassed():
    """A built `Encoder`."""
    model = Encoder(name="encoder")
    model(vectors(1))
    return model


BUILDERS = {
    builder.__name__: builder
    for builder in (
        backbone,
        classifier,
        pieces,
        decoder,
        transformer,
        functional,
        nested,
        shared,
        subclassed,
    )
}


def aligned(name, **options):
    """The model `name`, aligned with the options of `align_model`."""
    return keras_align.align_model(BUILDERS[name](), **options)


def data(name):
    """Inputs and targets of the model `name`."""
    if name in ("backbone", "classifier"):
        targets = np.arange(8) % 2
        return tokens(), targets if name == "classifier" else None
    return vectors(), vectors(seed=1)[:, 0, :1]


def train(model, name, epochs=1):
    """Trains on one batch an epoch; returns the losses of the epochs."""
    inputs, targets = data(name)
    history = model.fit(
        inputs, targets, batch_size=8, epochs=epochs, shuffle=False, verbose=0
    )
    return history.history["loss"]


def predict(model, name):
    """Predictions as one array."""
    outputs = model(data(name)[0], training=False)
    if isinstance(outputs, dict):
        outputs = outputs["sequence_output"]
    return keras.ops.convert_to_numpy(outputs)


def compile_model(model, name, traced=False):
    """Compiles for `train`; eager unless it is to be traced, which takes seconds.

    On JAX it is the other way round.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss = loss if name == "classifier" else "mse"
    eager = not traced and BACKEND != "jax"
    model.compile("adam", loss, metrics=None, run_eagerly=eager, jit_compile=QUICK_JIT)
    return model
