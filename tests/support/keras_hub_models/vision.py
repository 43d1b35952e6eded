"""Vision: small models of random weights, and inputs."""

import keras_hub

from keras_hub_models.inputs import DIM, images


def vision_transformer(**kwargs):
    model = keras_hub.models.ViTBackbone(
        **{
            "image_shape": (16, 16, 3),
            "patch_size": 4,
            "num_layers": 2,
            "num_heads": 2,
            "hidden_dim": DIM,
            "mlp_dim": 2 * DIM,
            **kwargs,
        }
    )
    return model, images(16, 16, 3)


def vit():
    return vision_transformer()


def deit():
    model = keras_hub.models.DeiTBackbone(
        image_shape=(16, 16, 3),
        patch_size=4,
        num_layers=2,
        num_heads=2,
        hidden_dim=DIM,
        intermediate_dim=2 * DIM,
    )
    return model, images(16, 16, 3)


def _dinov2(num_layers, size=16):
    return keras_hub.models.DINOV2Backbone(
        patch_size=4,
        num_layers=num_layers,
        hidden_dim=DIM,
        num_heads=2,
        intermediate_dim=2 * DIM,
        image_shape=(size, size, 3),
        position_embedding_shape=(16, 16, 3),
    )


def dinov2():
    return _dinov2(2), {"images": images(16, 16, 3)}


def dinov3():
    model = keras_hub.models.DINOV3Backbone(
        patch_size=4,
        num_layers=2,
        hidden_dim=DIM,
        num_heads=2,
        intermediate_dim=2 * DIM,
        image_shape=(16, 16, 3),
    )
    return model, {"pixel_values": images(16, 16, 3)}


def depth_anything():
    model = keras_hub.models.DepthAnythingBackbone(
        image_encoder=_dinov2(4, 32),
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_dims=[4, 8, 8, 8],
        fusion_hidden_dim=8,
        head_hidden_dim=4,
        head_in_index=-1,
        feature_keys=["stage1", "stage2", "stage3", "stage4"],
    )
    return model, images(32, 32, 3)


def swin_transformer():  # the second block of a stage has shifted windows and a mask
    model = keras_hub.models.SwinTransformerBackbone(
        image_shape=(16, 16, 3),
        embed_dim=8,
        depths=(2, 2),
        num_heads=(2, 2),
        window_size=2,
        patch_size=2,
        drop_path=0.1,
    )
    return model, images(16, 16, 3)


def mit():
    model = keras_hub.models.MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        image_shape=(32, 32, 3),
        hidden_dims=[8, DIM],
    )
    return model, images(32, 32, 3)


def segformer():
    encoder, inputs = mit()
    model = keras_hub.models.SegFormerBackbone(
        image_encoder=encoder, projection_filters=8
    )
    return model, inputs
