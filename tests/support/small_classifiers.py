"""Small classifiers that tests export and save."""

import keras
import numpy as np
import small_models

import keras_align
from keras_align import align_model

WORDS = ["good", "bad", "film", "the", "a", "is", "not", "very"]
TEXTS = [
    "good film",
    "",
    "the bad film is not very good at all, is it?",
    "a \u00fc \x00",
]
NAMES = ["negative", "positive"]


def classifier():
    """An aligned BERT with its tokenizer, trained for a step."""
    model = plain_classifier()
    align_model(model, "ct")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    jax = keras.backend.backend() == "jax"
    model.compile("adam", loss, jit_compile=jax, run_eagerly=not jax)
    model.fit(np.array(TEXTS, object), np.arange(4) % 2, batch_size=4, verbose=0)
    return model


def plain_classifier(sequence_length=8):
    """A BERT with its tokenizer."""
    import keras_nlp

    keras.utils.set_random_seed(0)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=vocabulary)
    preprocessor = keras_nlp.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=sequence_length
    )
    longest = max(16, sequence_length)
    backbone = keras_nlp.models.BertBackbone(
        13, 2, 2, 16, 32, max_sequence_length=longest
    )
    return keras_nlp.models.BertTextClassifier(backbone, 2, preprocessor)


def probabilities(model, texts=TEXTS):
    """What a classifier of texts answers in float32."""
    logits = model(model.preprocessor(np.array(texts, object)), training=False)
    logits = keras.ops.cast(logits, "float32")
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits))


def two_classes(activation="sigmoid"):
    """An aligned classifier of vectors with one output."""
    inputs = keras.Input((small_models.LENGTH, small_models.WIDTH), name="vectors")
    x = keras_align.AlignedMultiHeadAttention(2, 8)(inputs, inputs)
    outputs = keras.layers.Dense(1, activation=activation)(x[:, 0])
    return keras.Model(inputs, outputs)
