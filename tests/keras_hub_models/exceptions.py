"""What tests of the families must know about a few of them."""

import re

# Layers that the backbone itself never calls, so they are not built in it.
LAYERS = {"sam": re.compile("windowed_transformer_encoder")}
# Their own noise differs from one call to the next.
RANDOM = {"stable_diffusion_3"}
REFUSED = {
    "flux": "queries and keys are made in the block around the attention layer",
    "vae": "one convolution over the pixels, no heads",
}
