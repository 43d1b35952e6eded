"""Encoder-decoders of text and speech: small models of random weights, and inputs."""

import keras_hub
import numpy as np

from keras_hub_models.inputs import (
    DIM,
    HEADS,
    KV,
    VOCAB,
    T,
    bert_like,
    ids,
    images,
    mask,
    pair,
)


def bart():
    model = bert_like("BartBackbone", vocabulary_size=VOCAB, max_sequence_length=T)
    return model, pair()


def t5():
    model = bert_like("T5Backbone", vocabulary_size=VOCAB)
    return model, pair()


def _t5gemma(name, **kwargs):
    side = {
        "hidden_dim": DIM,
        "intermediate_dim": 2 * DIM,
        "num_layers": 2,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV,
        "head_dim": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    sides = {f"{s}_{k}": v for s in ("encoder", "decoder") for k, v in side.items()}
    return getattr(keras_hub.models, name)(
        vocabulary_size=VOCAB, sliding_window=4, **sides, **kwargs
    )


def t5gemma():
    return _t5gemma("T5GemmaBackbone"), pair()


def t5gemma2():
    return _t5gemma("T5Gemma2Backbone"), pair()


def whisper():  # the encoder has no mask
    model = bert_like(
        "WhisperBackbone",
        vocabulary_size=VOCAB,
        num_mels=8,
        max_encoder_sequence_length=16,
        max_decoder_sequence_length=T,
    )
    inputs = {
        "encoder_features": images(16, 8),
        "decoder_token_ids": ids(),
        "decoder_padding_mask": mask(),
    }
    return model, inputs


def moonshine():
    model = keras_hub.models.MoonshineBackbone(
        vocabulary_size=VOCAB,
        filter_dim=DIM,
        encoder_num_layers=2,
        decoder_num_layers=2,
        hidden_dim=DIM,
        intermediate_dim=2 * DIM,
        encoder_num_heads=2,
        decoder_num_heads=2,
    )
    samples = 2816  # six encoder tokens
    lengths = np.array([samples, 1700])
    inputs = {
        "encoder_input_values": images(samples, 1),
        "encoder_padding_mask": np.arange(samples)[None] < lengths[:, None],
        "decoder_token_ids": ids(),
        "decoder_padding_mask": mask(dtype="bool"),
    }
    return model, inputs


def edrec():
    model = keras_hub.models.EdRecBackbone(
        vocab_size=VOCAB,
        num_layers_enc=2,
        num_layers_dec=2,
        hidden_dim=DIM,
        intermediate_dim=2 * DIM,
        num_heads=2,
    )
    return model, pair(dtype="bool")
