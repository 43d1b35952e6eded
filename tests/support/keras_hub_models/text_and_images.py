"""Texts with images or videos: small models of random weights, and inputs."""

import keras_hub

from keras_hub_models.inputs import DIM, VOCAB, T, ids, images, pair, text

TOWER = {
    "hidden_dim": DIM,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_dim": 2 * DIM,
}


def _two_towers(name, **kwargs):
    vision = getattr(keras_hub.models, f"{name}VisionEncoder")(
        patch_size=4, image_shape=(16, 16, 3), **TOWER
    )
    words = getattr(keras_hub.models, f"{name}TextEncoder")(
        vocabulary_size=VOCAB, embedding_dim=DIM, max_sequence_length=T, **TOWER
    )
    model = getattr(keras_hub.models, f"{name}Backbone")(
        vision_encoder=vision, text_encoder=words, **kwargs
    )
    return model, {"images": images(16, 16, 3), "token_ids": ids()}


def clip():  # no padding mask; the text tower is causal
    return _two_towers("CLIP", projection_dim=8)


def metaclip_2():
    return _two_towers("MetaCLIP2", projection_dim=8)


def siglip():
    return _two_towers("SigLIP")


def video_prism():
    model = keras_hub.models.VideoPrismBackbone(
        num_frames=2,
        patch_size=4,
        hidden_dim=DIM,
        intermediate_dim=2 * DIM,
        num_heads=2,
        num_spatial_layers=2,
        num_temporal_layers=2,
        num_auxiliary_layers=1,
        vocabulary_size=VOCAB,
        num_text_layers=2,
        image_shape=(8, 8, 3),
    )
    return model, text(pixel_values=images(2, 8, 8, 3))


def _blip2(language_model):
    vision = keras_hub.models.BLIP2VisionEncoder(
        image_size=16,
        patch_size=4,
        num_layers=2,
        num_heads=2,
        hidden_dim=DIM,
        intermediate_dim=2 * DIM,
        use_patch_bias=True,
        use_class_token=True,
        use_mha_bias=True,
        use_mlp_bias=True,
        dropout_rate=0.0,
        layer_norm_epsilon=1e-6,
        initializer_range=0.02,
    )
    qformer = keras_hub.models.BLIP2QFormer(
        num_query_tokens=4,
        num_layers=2,
        num_heads=2,
        hidden_dim=DIM,
        intermediate_dim=2 * DIM,
        vision_dim=DIM,
        cross_attention_frequency=2,
        dropout=0.1,
        layer_norm_epsilon=1e-12,
    )
    return keras_hub.models.BLIP2Backbone(
        vision_encoder=vision, qformer=qformer, language_model=language_model
    )


_BLIP2_LM = {
    "vocabulary_size": VOCAB,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": DIM,
    "intermediate_dim": 2 * DIM,
    "num_query_tokens": 4,
    "qformer_hidden_dim": DIM,
}


def blip2():
    lm = keras_hub.models.BLIP2CustomOPT(
        **_BLIP2_LM, dropout=0.1, max_sequence_length=16
    )
    return _blip2(lm), text(images=images(16, 16, 3))


def blip2_t5():
    lm = keras_hub.models.BLIP2FlanT5(**_BLIP2_LM)
    return _blip2(lm), {**pair(), "images": images(16, 16, 3)}
