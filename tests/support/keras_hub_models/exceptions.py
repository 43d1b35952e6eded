"""What tests of the families must know about a few of them."""

import re

# Layers that the backbone itself never calls, so they are not built in it.
LAYERS = {"sam": re.compile("windowed_transformer_encoder")}
# Their own noise differs from one call to the next.
RANDOM = {"stable_diffusion_3"}
# Where losses are not TensorFlow's, and why: keras-hub's doing but for the first.
OTHERWISE = {
    ("jax", "sam3"): "equal when called alone, not yet understood in a stateless step",
    ("torch", "esm"): "the mask is one of keys, elsewhere one of queries",
    ("torch", "roformer_v2"): "the mask is one of keys, elsewhere one of queries",
    ("torch", "deberta_v3"): "other outputs of the first layer, plain too",
    **{
        (backend, name): "another sliding window than on TensorFlow"
        for backend in ("jax", "torch")
        for name in ("qwen_sliding", "qwen3", "qwen3_moe")
    },
}
REFUSED = {
    "flux": "queries and keys are made in the block around the attention layer",
    "vae": "one convolution over the pixels, no heads",
}
# Where a step of the plain model fails too, as an error or not finite, by backend and
# policy; eagerly in mixed precision. Mixtures of experts mix dtypes; float16 overflows.
_OF_EXPERTS = {"mixtral", "qwen_moe", "qwen3_moe", "qwen3_5_moe"}
PLAIN_FAILS = {
    ("jax", "float32"): {"gemma3n_multimodal", "stable_diffusion_3"},
    ("torch", "float32"): {
        "gemma3n_multimodal",  # a gradient that is NaN
        "sam3",  # needs torchvision
        "stable_diffusion_3",  # cannot be built there
    },
    ("tensorflow", "mixed_bfloat16"): {*_OF_EXPERTS, "moonshine", "sam"},
    ("tensorflow", "mixed_float16"): {
        *_OF_EXPERTS,
        *("moonshine", "sam", "t5", "t5gemma", "t5gemma2", "gemma3n_multimodal"),
        *("blip2", "blip2_t5", "stable_diffusion_3"),
    },
}
# Plain models that `clone_model` cannot clone, and what it says: layers of keras-hub
# with a config that does not make them again.
NOT_CLONED = {
    "gpt_neo_x": "deserializing class 'GPTNeoXDecoder'",
    "llama": "no attribute 'rope_scaling_factor'",
    "llama3": "no attribute 'rope_scaling_factor'",
    "qwen3": "deserializing class 'Qwen3TransformerDecoder'",
    "gemma3n": "Received: None",
    "gemma3n_shared": "Received: None",
    "vit": "deserializing class 'ViTPatchingAndEmbedding'",
    "deit": "deserializing class 'DeiTEmbeddings'",
    "swin_transformer": "LayerNormalization.get_config",
    "mit": "deserializing class 'HierarchicalTransformerEncoder'",
    "segformer": "HierarchicalTransformerEncoder'> could not be deserialized",
    "stable_diffusion_3": "deserializing class 'DiagonalGaussianDistributionSampler'",
}
