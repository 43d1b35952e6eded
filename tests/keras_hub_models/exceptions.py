"""What tests of the families must know about a few of them."""

import re

# Layers that the backbone itself never calls, so they are not built in it.
LAYERS = {"sam": re.compile("windowed_transformer_encoder")}
# Their own noise differs from one call to the next.
RANDOM = {"stable_diffusion_3"}
# Where keras-hub itself computes something else, or cannot build the model.
OTHERWISE = {
    ("torch", "esm"): "the mask is one of keys, elsewhere one of queries",
    ("torch", "roformer_v2"): "the mask is one of keys, elsewhere one of queries",
    ("torch", "deberta_v3"): "other outputs of the first layer, plain too",
    ("torch", "sam3"): "needs torchvision",
    ("torch", "stable_diffusion_3"): "assigns a layer before its constructor",
}
REFUSED = {
    "flux": "queries and keys are made in the block around the attention layer",
    "vae": "one convolution over the pixels, no heads",
}
