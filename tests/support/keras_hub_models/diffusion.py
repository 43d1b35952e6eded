"""Diffusion: small models of random weights, and inputs."""

import keras_hub
import numpy as np

from keras_hub_models.inputs import DIM, VOCAB, B, T, ids, images
from keras_hub_models.text_and_images import TOWER
from keras_hub_models.vision_tasks import autoencoder


def mmdit():  # the diffuser of Stable Diffusion 3, a Backbone of its own
    from keras_hub.src.models.stable_diffusion_3.mmdit import MMDiT

    model = MMDiT(
        patch_size=2,
        hidden_dim=DIM,
        num_layers=2,
        num_heads=2,
        position_size=4,
        latent_shape=(4, 4, 16),
        context_shape=(None, 32),
        pooled_projection_shape=(32,),
        qk_norm="rms_norm",
        dual_attention_indices=(0,),
    )
    inputs = {
        "latent": images(4, 4, 16),
        "context": images(6, 32),
        "pooled_projection": images(32),
        "timestep": images(1),
    }
    return model, inputs


def stable_diffusion_3():  # every part is called with training=False
    from keras_hub.src.models.stable_diffusion_3.t5_encoder import T5Encoder

    towers = [
        keras_hub.models.CLIPTextEncoder(
            vocabulary_size=VOCAB,
            embedding_dim=DIM,
            intermediate_output_index=0,
            max_sequence_length=T,
            name=name,
            **TOWER,
        )
        for name in ("clip_l", "clip_g")
    ]
    words = T5Encoder(
        vocabulary_size=VOCAB,
        num_layers=2,
        num_heads=2,
        hidden_dim=2 * DIM,
        intermediate_dim=4 * DIM,
        name="t5",
    )
    pixels = autoencoder(4, name="vae")
    model = keras_hub.models.StableDiffusion3Backbone(
        mmdit_patch_size=2,
        mmdit_hidden_dim=DIM,
        mmdit_num_layers=2,
        mmdit_num_heads=2,
        mmdit_position_size=4,
        mmdit_qk_norm=None,
        mmdit_dual_attention_indices=None,
        vae=pixels,
        clip_l=towers[0],
        clip_g=towers[1],
        t5=words,
        image_shape=(32, 32, 3),
    )
    names = [
        f"{tower}_{kind}token_ids"
        for tower in ("clip_l", "clip_g", "t5")
        for kind in ("", "negative_")
    ]
    inputs = {
        "images": images(32, 32, 3),
        "latents": images(4, 4, 16),
        **{name: ids() for name in names},
        "num_steps": np.full((B,), 4, "int32"),
        "guidance_scale": np.full((B,), 2.0, "float32"),
    }
    return model, inputs


def flux():
    from keras_hub.src.models.flux.flux_model import FluxBackbone

    model = FluxBackbone(
        input_channels=4,
        hidden_size=DIM,
        mlp_ratio=2.0,
        num_heads=2,
        depth=2,
        depth_single_blocks=2,
        axes_dim=[2, 2, 4],
        theta=10000,
        use_bias=True,
        guidance_embed=True,
        image_shape=(4, 4),
        text_shape=(3, 8),
        image_ids_shape=(4, 3),
        text_ids_shape=(3, 3),
        y_shape=(8,),
    )
    inputs = {
        "image": images(4, 4),
        "image_ids": images(4, 3),
        "text": images(3, 8),
        "text_ids": images(3, 3),
        "y": images(8),
        "timesteps": images(),
        "guidance": images(),
    }
    return model, inputs
