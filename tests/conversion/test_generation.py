"""Decoders generate the same tokens, with their cache, aligned and plain."""

import keras
import numpy as np
import pytest
from execution import BACKEND
from keras_hub_models import FAMILIES

from keras_align.conversion import align_model, strip_alignment

pytestmark = pytest.mark.slow_on("jax")

JIT = {"gpt2"} if BACKEND == "tensorflow" else set(FAMILIES)
FAST = {"llama": "Llama"}
SLOW = {
    "gpt2": "GPT2",
    "gemma": "Gemma",
    "bloom": "Bloom",
    "falcon": "Falcon",
    "gemma3": "Gemma3",
    "gpt_neo_x": "GPTNeoX",
    "gpt_oss": "GptOss",
    "mistral": "Mistral",
    "mixtral": "Mixtral",
    "opt": "OPT",
    "phi3": "Phi3",
    "qwen": "Qwen",
    "qwen3": "Qwen3",
    "smollm3": "SmolLM3",
}
NAMES = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.mark.parametrize("name", NAMES)
def test_same_tokens(name):
    import keras_hub

    backbone, inputs = FAMILIES[name]()
    cls = getattr(keras_hub.models, f"{({**FAST, **SLOW})[name]}CausalLM")
    model = cls(backbone=backbone, preprocessor=None)
    model.compile(sampler="greedy", jit_compile=name in JIT)
    prompt = {
        key: keras.ops.convert_to_tensor(inputs[key])
        for key in ("token_ids", "padding_mask")
    }

    def tokens():
        model.generate_function = None  # traced with the classes of before
        generate = model.make_generate_function()
        return np.asarray(generate(prompt, stop_token_ids=None)["token_ids"])

    plain = tokens()
    align_model(model)
    np.testing.assert_array_equal(tokens(), plain)
    strip_alignment(model)
    np.testing.assert_array_equal(tokens(), plain)
    assert (plain != inputs["token_ids"]).any()  # it did generate
