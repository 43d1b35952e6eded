"""The families around Gemma: small models of random weights, and inputs."""

import keras_hub
import numpy as np

from keras_hub_models.decoders import grouped
from keras_hub_models.inputs import DIM, HEADS, KV, B, T, ids, images, mask, text
from keras_hub_models.vision_tasks import mobilenetv5


def gemma():
    return grouped("GemmaBackbone", head_dim=8), text()


def gemma2():  # Gemma 2 is the same class with these options
    model = grouped(
        "GemmaBackbone",
        head_dim=8,
        query_head_dim_normalize=False,
        use_post_ffw_norm=True,
        use_post_attention_norm=True,
        attention_logit_soft_cap=50.0,
        final_logit_soft_cap=30.0,
        use_sliding_window_attention=True,
        sliding_window_size=4,
        dropout=0.1,
    )
    return model, text()


_GEMMA3 = {
    "head_dim": 8,
    "image_size": 16,
    "use_sliding_window_attention": True,
    "sliding_window_size": 4,
}


def gemma3():
    return grouped("Gemma3Backbone", **_GEMMA3), text()


def gemma3_bidirectional():  # as EmbeddingGemma
    model = grouped("Gemma3Backbone", **_GEMMA3, use_bidirectional_attention=True)
    return model, text()


def gemma3_vision():
    from keras_hub.src.models.gemma3.gemma3_vision_encoder import Gemma3VisionEncoder

    encoder = Gemma3VisionEncoder(
        image_size=16,
        patch_size=4,
        num_heads=2,
        hidden_dim=DIM,
        num_layers=2,
        intermediate_dim=2 * DIM,
        output_dim=DIM,
        pool_size=2,
    )
    model = grouped("Gemma3Backbone", **_GEMMA3, vision_encoder=encoder)
    return model, text(
        12,
        images=images(1, 16, 16, 3),
        vision_indices=np.tile(np.arange(2, 6, dtype="int32"), (B, 1)),
        vision_mask=np.tile(np.array([[0] * 2 + [1] * 4 + [0] * 6], "int32"), (B, 1)),
    )


def _gemma3n(**kwargs):
    return keras_hub.models.Gemma3nBackbone(
        **{
            "text_vocab_size": 64,
            "text_hidden_size": DIM,
            "num_hidden_layers": 2,
            "pad_token_id": 0,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV,
            "head_dim": 8,
            "intermediate_size": [2 * DIM] * 2,
            "hidden_activation": "gelu_approximate",
            "layer_types": ["sliding_attention", "full_attention"],
            "sliding_window": 4,
            "rope_theta": 10000.0,
            "max_position_embeddings": 16,
            "vocab_size_per_layer_input": 64,
            "hidden_size_per_layer_input": 4,
            "altup_num_inputs": 2,
            "laurel_rank": 2,
            **kwargs,
        }
    )


def gemma3n():
    return _gemma3n(), {"token_ids": ids(), "padding_mask": mask(dtype="bool")}


def gemma3n_shared():  # the second layer attends to the keys of the first
    model = _gemma3n(layer_types=["full_attention"] * 2, num_kv_shared_layers=1)
    return model, {"token_ids": ids(), "padding_mask": mask(dtype="bool")}


def gemma3n_multimodal():
    audio = {
        "hidden_size": 8,
        "input_feat_size": 16,
        "sscp_conv_channel_size": [4, 8],
        "sscp_conv_kernel_size": [(3, 3), (3, 3)],
        "sscp_conv_stride_size": [(2, 2), (2, 2)],
        "sscp_conv_group_norm_eps": 1e-5,
        "num_hidden_layers": 2,
        "rms_norm_eps": 1e-6,
        "gradient_clipping": 1e10,
        "residual_weight": 0.5,
        "num_attention_heads": 2,
        "attention_chunk_size": 4,
        "num_attention_context_right": 0,
        "num_attention_context_left": 5,
        "attention_logit_cap": 50.0,
        "conv_kernel_size": 3,
        "reduction_factor": 1,
    }
    vision, _ = mobilenetv5()
    model = _gemma3n(
        vision_encoder_config=vision.get_config(),
        vision_hidden_size=16,
        vision_vocab_size=8,
        vision_vocab_offset=32,
        vision_soft_tokens_per_image=4,
        image_token_id=36,
        audio_encoder_config=audio,
        audio_hidden_size=8,
        audio_vocab_size=8,
        audio_vocab_offset=40,
        audio_soft_tokens_per_image=4,
        audio_token_id=44,
    )
    tokens = ids(14)
    tokens[:, 1:5], tokens[:, 5:9] = 36, 44
    inputs = {
        "token_ids": tokens,
        "padding_mask": mask(14, dtype="bool"),
        "images": images(1, 32, 32, 3),
        "input_features": images(1, 16, 16),
        # True = padded here
        "input_features_mask": ~mask(16, 6, "bool")[:, None],
    }
    return model, inputs


def _positions(length=T):
    return np.tile(np.arange(length, dtype="int32"), (B, 1))


_GEMMA4 = {
    "head_dim": 8,
    "image_size": 16,
    "sliding_window_pattern": 2,
    "sliding_window_size": 4,
}


def gemma4():  # layer 0 local, layer 1 global
    model = grouped("Gemma4Backbone", **_GEMMA4)
    return model, text(position_ids=_positions())


def gemma4_shared():  # layers 2, 3 borrow keys; global layers: one key head, K = V
    model = grouped(
        "Gemma4Backbone",
        **_GEMMA4,
        num_layers=4,
        num_kv_shared_layers=2,
        num_global_key_value_heads=1,
        global_head_dim=16,
        global_rope_partial_rotary_factor=0.5,
        hidden_size_per_layer_input=4,
    )
    return model, text(position_ids=_positions())


def gemma4_vision():
    encoder = keras_hub.models.Gemma4VisionEncoder(
        image_size=16,
        patch_size=4,
        num_heads=2,
        hidden_dim=DIM,
        num_layers=2,
        intermediate_dim=2 * DIM,
        head_dim=8,
        output_dim=DIM,
        pool_size=2,
    )
    model = grouped("Gemma4Backbone", **_GEMMA4, vision_encoder=encoder)
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(1, 1, 16, 2)
    positions = np.tile(grid.astype("int32"), (B, 1, 1, 1))  # (x, y)
    positions[1, 0, 12:] = -1  # padded patches
    return model, text(
        12,
        position_ids=_positions(12),
        pixel_values=images(1, 16, 3 * 4 * 4),
        pixel_position_ids=positions,
        vision_indices=np.tile(np.arange(2, 6, dtype="int32"), (B, 1)),
        vision_mask=np.tile(np.array([[0] * 2 + [1] * 4 + [0] * 6], "int32"), (B, 1)),
    )


def gemma4_audio():
    encoder = keras_hub.models.Gemma4AudioEncoder(
        input_feat_size=16,
        hidden_size=DIM,
        num_heads=2,
        num_layers=2,
        chunk_size=4,
        context_left=5,
        context_right=0,
        sscp_conv_channels=(4, 4),
        output_proj_dims=DIM,
        output_dim=DIM,
    )
    model = grouped(
        "Gemma4Backbone",
        **_GEMMA4,
        audio_encoder=encoder,
        num_audio_tokens_per_clip=8,
    )
    return model, text(
        14,
        position_ids=_positions(14),
        audio_mel=images(1, 32, 16),
        audio_mel_mask=mask(32, 12)[:, None],
        audio_indices=np.tile(np.arange(1, 9, dtype="int32"), (B, 1)),
        audio_mask=np.tile(np.array([[0] + [1] * 8 + [0] * 5], "int32"), (B, 1)),
    )


def pali_gemma():
    model = grouped(
        "PaliGemmaBackbone",
        image_size=16,
        head_dim=8,
        vit_patch_size=4,
        vit_num_heads=2,
        vit_hidden_dim=DIM,
        vit_num_layers=2,
        vit_intermediate_dim=2 * DIM,
    )
    response = mask()
    response[:, :3] = 0  # the prompt
    return model, text(images=images(16, 16, 3), response_mask=response)
