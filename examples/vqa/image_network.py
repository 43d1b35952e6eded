"""EfficientNet-Lite0, pre-trained on ImageNet: what it sees in the cells of a grid.

The network is that of keras-hub; the weights are those that Google published for
TensorFlow, in the form that a package has for PyTorch.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", ICML 2019; the Lite variants have no squeeze-and-excitation and ReLU6.
"""

import keras
import numpy as np
from keras import ops
from torch_weights import read_weights

SIZE = 224  # pixels
FEATURES = 1280
# The arguments of EfficientNet-B0 in keras-hub, without squeeze-and-excitation.
ARCHITECTURE = {
    "stackwise_width_coefficients": [1.0] * 7,
    "stackwise_depth_coefficients": [1.0] * 7,
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
    "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
    "stackwise_squeeze_and_excite_ratios": [0] * 7,
    "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
    "stackwise_block_types": ["v1"] * 7,
    "min_depth": None,
    "use_depth_divisor_as_min_depth": True,
    "cap_round_filter_decrease": True,
    "activation": "relu6",
    "dropout": 0.0,
    "batch_norm_epsilon": 1e-3,
}


def load(file, size=SIZE):
    """Returns the network, from pixels 0 to 255 to the features of a grid.

    Args:
        file: `pathlib.Path`, the weights of the package's `.pth` file.
        size: Integer, height and width of the images, a multiple of 32.

    Returns:
        A `keras.Model` from `(B, size, size, 3)` to `(B, size / 32, size / 32, 1280)`.
    """
    from keras_hub.models import EfficientNetBackbone

    backbone = EfficientNetBackbone(**ARCHITECTURE, input_shape=(size, size, 3))
    weights = read_weights(file)
    names = dict(zip(blocks(backbone), range(len(weights)), strict=False))
    for layer in backbone.layers:
        if layer.weights:
            layer.set_weights(arrays(weights, *source(layer.name, names)))
        if isinstance(layer, keras.layers.ZeroPadding2D):
            pad_as_tensorflow(layer, backbone)
    images = keras.Input((size, size, 3))
    return keras.Model(images, backbone((images - 127.0) / 128.0))


def classifier(network, file):
    """Returns the network with the 1,000 classes of ImageNet, as logits."""
    weights = read_weights(file)
    dense = keras.layers.Dense(1000)
    pooled = ops.mean(network.output, axis=(1, 2))
    model = keras.Model(network.input, dense(pooled))
    dense.set_weights([weights["_fc.weight"].T, weights["_fc.bias"]])
    return model


def blocks(backbone):
    """Returns the names of the blocks, as `block1a`, in their order."""
    names = (layer.name.partition("_")[0] for layer in backbone.layers)
    return list(dict.fromkeys(name for name in names if name.startswith("block")))


def source(name, numbers):
    """Returns the name that a layer of keras-hub has in the file, and its kind."""
    block, _, part = name.partition("_")
    of_block = {
        "expand_conv": ("expand_conv", "convolution"),
        "expand_bn": ("bn0", "normalization"),
        "dwconv": ("depthwise_conv", "depthwise"),
        "dwconv_bn": ("bn1", "normalization"),
        "project": ("project_conv", "convolution"),
        "project_bn": ("bn2", "normalization"),
    }
    of_rest = {
        "stem_conv": ("conv_stem", "convolution"),
        "stem_bn": ("bn0", "normalization"),
        "top_conv": ("conv_head", "convolution"),
        "top_bn": ("bn1", "normalization"),
    }
    if block not in numbers:
        name, kind = of_rest[name]
        return f"_{name}", kind
    name, kind = of_block[part]
    return f"_blocks.{numbers[block]}._{name}", kind


def arrays(weights, name, kind):
    """Returns the weights of a layer in the order of Keras."""
    if kind == "normalization":
        parts = "weight", "bias", "running_mean", "running_var"
        return [weights[f"{name}.{part}"] for part in parts]
    kernel = weights[f"{name}.weight"]  # (out, in, height, width)
    axes = (2, 3, 0, 1) if kind == "depthwise" else (2, 3, 1, 0)
    return [np.transpose(kernel, axes)]


def pad_as_tensorflow(layer, backbone):
    """Pads an image of even size above and left by one less, as "same" does.

    keras-hub pads both sides alike, as PyTorch does, which shifts what convolutions of
    stride 2 see by a pixel for weights that were trained in TensorFlow.
    """
    after = backbone.layers[backbone.layers.index(layer) + 1]
    if after.strides[0] == 2:
        (before, behind), _ = layer.padding
        layer.padding = ((before - 1, behind),) * 2
