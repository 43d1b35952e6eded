"""Decoders of text: small models of random weights, and inputs."""

import keras_hub
import numpy as np

from keras_hub_models.inputs import DIM, HEADS, KV, VOCAB, T, bert_like, images, text


def gpt2():
    model = bert_like("GPT2Backbone", vocabulary_size=VOCAB, max_sequence_length=T)
    return model, text()


def opt():
    model = bert_like("OPTBackbone", vocabulary_size=VOCAB, max_sequence_length=T)
    return model, text()


def bloom():
    return bert_like("BloomBackbone", vocabulary_size=VOCAB), text()


def falcon():
    model = keras_hub.models.FalconBackbone(
        vocabulary_size=VOCAB,
        num_layers=2,
        num_attention_heads=2,
        hidden_dim=DIM,
        intermediate_dim=2 * DIM,
    )
    return model, text()


def gpt_neo_x():
    model = bert_like(
        "GPTNeoXBackbone",
        vocabulary_size=VOCAB,
        rotary_percentage=0.5,
        max_sequence_length=T,
    )
    return model, text()


def grouped(name, **kwargs):
    return getattr(keras_hub.models, name)(
        **{
            "vocabulary_size": VOCAB,
            "num_layers": 2,
            "num_query_heads": HEADS,
            "num_key_value_heads": KV,
            "hidden_dim": DIM,
            "intermediate_dim": 2 * DIM,
            **kwargs,
        }
    )


def llama():
    return grouped("LlamaBackbone"), text()


def llama3():
    return grouped("Llama3Backbone"), text()


def mistral():
    return grouped("MistralBackbone", sliding_window=4, head_dim=8), text()


def mixtral():
    return grouped("MixtralBackbone", sliding_window=4, num_experts=2), text()


def phi3():
    return grouped("Phi3Backbone"), text()


def qwen():
    return grouped("QwenBackbone"), text()


def qwen_sliding():
    model = grouped(
        "QwenBackbone", use_sliding_window_attention=True, sliding_window_size=4
    )
    return model, text()


def qwen_moe():
    model = grouped(
        "QwenMoeBackbone",
        moe_intermediate_dim=8,
        shared_expert_intermediate_dim=8,
        num_experts=2,
        top_k=2,
    )
    return model, text()


def qwen3():
    return grouped("Qwen3Backbone", head_dim=8, sliding_window_size=4), text()


def qwen3_moe():
    model = grouped(
        "Qwen3MoeBackbone",
        head_dim=8,
        moe_intermediate_dim=8,
        num_experts=2,
        top_k=2,
        sliding_window_size=4,
    )
    return model, text()


_LINEAR = {
    "head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 4,
    "linear_value_head_dim": 4,
}


def qwen3_5():
    return grouped("Qwen3_5Backbone", **_LINEAR), text()


def qwen3_5_vision():  # eager only: `int(grid_thw[...])` in the vision encoder
    from keras_hub.src.models.qwen3_5.qwen3_5_vision_encoder import (
        Qwen3_5VisionEncoder,
    )

    encoder = Qwen3_5VisionEncoder(
        depth=2,
        hidden_size=DIM,
        num_heads=2,
        intermediate_size=2 * DIM,
        patch_size=4,
        temporal_patch_size=2,
        spatial_merge_size=2,
        out_hidden_size=DIM,
        num_position_embeddings=16,
    )
    model = grouped("Qwen3_5Backbone", **_LINEAR, vision_encoder=encoder)
    # 4 x 4 patches a sample, merged to 4 tokens; indices into the flat batch
    indices = np.array([[1, 2, 3, 4], [1 + T, 2 + T, 3 + T, 4 + T]], "int32")
    inputs = text(
        pixel_values=images(16, 2, 4, 4, 3),
        image_grid_thw=np.array([[[1, 4, 4]], [[1, 4, 4]]], "int32"),
        vision_indices=indices,
    )
    return model, inputs


def qwen3_5_moe():
    model = keras_hub.models.Qwen3_5MoeBackbone(
        vocabulary_size=VOCAB,
        num_layers=2,
        num_query_heads=HEADS,
        num_key_value_heads=KV,
        hidden_dim=DIM,
        moe_intermediate_dim=8,
        shared_expert_intermediate_size=8,
        num_experts=2,
        top_k=2,
        **_LINEAR,
    )
    return model, text()


def gpt_oss():
    model = grouped("GptOssBackbone", head_dim=8, num_experts=2, sliding_window=4)
    return model, text()


def smollm3():
    model = keras_hub.models.SmolLM3Backbone(
        vocabulary_size=VOCAB,
        hidden_dim=DIM,
        intermediate_dim=2 * DIM,
        num_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KV,
        attention_bias=False,
        attention_dropout=0.0,
        rope_layer_enabled_list=[True, False],
        layer_types=["attention"] * 2,
        mlp_bias=False,
        layer_norm_epsilon=1e-5,
        max_position_embeddings=T,
        rope_theta=10000.0,
        partial_rotary_factor=1.0,
    )
    return model, text()
