"""Tasks of vision: small models of random weights, and inputs."""

import keras_hub
import numpy as np

from keras_hub_models.inputs import DIM, VOCAB, B, T, images, text
from keras_hub_models.vision import vision_transformer


def _vit_det(image_size, patch_size):
    return keras_hub.models.ViTDetBackbone(
        hidden_size=DIM,
        num_layers=2,
        intermediate_dim=2 * DIM,
        num_heads=2,
        global_attention_layer_indices=[1],
        patch_size=patch_size,
        num_output_channels=8,
        window_size=2,
        image_shape=(image_size, image_size, 3),
    )


def vit_det():
    return _vit_det(16, 4), images(16, 16, 3)


def sam():  # the mask decoder is called by SAMImageSegmenter only
    model = keras_hub.models.SAMBackbone(
        image_encoder=_vit_det(32, 4),
        prompt_encoder=keras_hub.layers.SAMPromptEncoder(
            hidden_size=8,
            image_embedding_size=(8, 8),
            input_image_size=(32, 32),
            mask_in_channels=4,
        ),
        mask_decoder=keras_hub.layers.SAMMaskDecoder(
            num_layers=2,
            hidden_size=8,
            intermediate_dim=16,
            num_heads=2,
            embedding_dim=8,
            num_multimask_outputs=3,
            iou_head_depth=2,
            iou_head_hidden_dim=8,
        ),
    )
    inputs = {
        "images": images(32, 32, 3),
        "points": images(1, 2),
        "labels": np.ones((B, 1), "float32"),
        "boxes": images(1, 2, 2),
        "masks": np.zeros((B, 0, 32, 32, 1), "float32"),
    }
    return model, inputs


def sam3():
    side = {
        "hidden_dim": DIM,
        "intermediate_dim": 2 * DIM,
        "num_heads": 2,
        "num_layers": 2,
    }
    model = keras_hub.models.SAM3PromptableConceptBackbone(
        vision_encoder=keras_hub.layers.SAM3VisionEncoder(
            image_shape=(32, 32, 3),
            patch_size=4,
            fpn_hidden_dim=DIM,
            fpn_scale_factors=[4.0, 2.0, 1.0, 0.5],
            pretrain_image_shape=(16, 16, 3),
            window_size=2,
            global_attn_indexes=[1],
            **side,
        ),
        text_encoder=keras_hub.layers.SAM3TextEncoder(
            vocabulary_size=VOCAB, embedding_dim=DIM, **side
        ),
        geometry_encoder=keras_hub.layers.SAM3GeometryEncoder(roi_size=3, **side),
        detr_encoder=keras_hub.layers.SAM3DetrEncoder(**side),
        detr_decoder=keras_hub.layers.SAM3DetrDecoder(
            image_shape=(32, 32, 3), patch_size=4, num_queries=5, **side
        ),
        mask_decoder=keras_hub.layers.SAM3MaskDecoder(
            num_upsampling_stages=3, hidden_dim=DIM, num_heads=2
        ),
    )
    inputs = {
        "pixel_values": images(32, 32, 3),
        **text(),
        "boxes": np.zeros((B, 1, 5), "float32"),
        "box_labels": np.zeros((B, 1), "int32"),
    }
    return model, inputs


def mobilenetv5():
    from keras_hub.src.models.mobilenetv5.mobilenetv5_builder import (
        convert_arch_def_to_stackwise,
    )

    blocks = [
        ["er_r1_k3_s2_e1_c16"],
        # `mha` blocks (Attention2d) cannot be built in a graph on TensorFlow:
        # channels_last loses the number of channels (upstream bug).
        ["mqa_r1_k3_h2_s1_v2_d8_c16"],  # MultiQueryAttention2d, strided keys
        ["mqa_r1_k3_h2_s1_d8_c16"],
    ]
    model = keras_hub.models.MobileNetV5Backbone(
        **convert_arch_def_to_stackwise(blocks),
        num_features=16,
        image_shape=(32, 32, 3),
        use_msfa=False,
    )
    return model, images(32, 32, 3)


def d_fine():
    encoder = keras_hub.models.HGNetV2Backbone(
        stem_channels=[3, 8, 8],
        stackwise_stage_filters=[
            [8, 8, 16, 1, 3, 3],
            [16, 8, 16, 1, 3, 3],
            [16, 8, 16, 1, 3, 5],
            [16, 8, 16, 1, 3, 5],
        ],
        apply_downsample=[False, True, True, True],
        use_lightweight_conv_block=[False, False, True, True],
        depths=[1, 1, 1, 1],
        hidden_sizes=[16, 16, 16, 16],
        embedding_size=8,
        use_learnable_affine_block=True,
        hidden_act="relu",
        image_shape=(None, None, 3),
        out_features=["stage3", "stage4"],
    )
    model = keras_hub.models.DFineBackbone(
        backbone=encoder,
        decoder_in_channels=[DIM, DIM],
        encoder_hidden_dim=DIM,
        num_denoising=0,
        num_labels=4,
        hidden_dim=DIM,
        learn_initial_query=False,
        num_queries=5,
        anchor_image_size=(64, 64),
        feat_strides=[16, 32],
        num_feature_levels=2,
        encoder_in_channels=[16, 16],
        encode_proj_layers=[1],
        num_attention_heads=2,
        encoder_ffn_dim=2 * DIM,
        num_encoder_layers=1,
        hidden_expansion=0.5,
        depth_multiplier=0.34,
        eval_idx=-1,
        num_decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=2 * DIM,
        decoder_n_points=[2, 2],
        lqe_hidden_dim=8,
        num_lqe_layers=2,
        out_features=["stage3", "stage4"],
        image_shape=(64, 64, 3),
        seed=0,
    )
    return model, images(64, 64, 3)


def parseq():
    encoder, pixels = vision_transformer(use_class_token=False)
    model = keras_hub.models.PARSeqBackbone(
        image_encoder=encoder,
        vocabulary_size=VOCAB,
        max_label_length=T,
        decoder_hidden_dim=DIM,
        num_decoder_layers=2,
        num_decoder_heads=2,
        decoder_mlp_dim=2 * DIM,
    )
    return model, text(images=pixels)


def autoencoder(
    stacks, **kwargs
):  # 32 filters at least: group normalisation of 32 groups
    from keras_hub.src.models.vae.vae_backbone import VAEBackbone

    return VAEBackbone(
        encoder_num_filters=[32] * stacks,
        encoder_num_blocks=[1] * stacks,
        decoder_num_filters=[32] * stacks,
        decoder_num_blocks=[1] * stacks,
        **kwargs,
    )


def vae():
    return autoencoder(2), images(8, 8, 3)
