"""Every family of keras-hub with attention: matched, the same predictions, restored.

Run as a script, with `PYTHONPATH=.:tests/support`, it prints a table.
"""

import warnings

import keras
import numpy as np
import pytest
from keras import ops, tree
from keras_hub_models import FAMILIES
from keras_hub_models.exceptions import RANDOM, REFUSED
from parameters import slow_but

from keras_align.conversion.finding import find_attention
from keras_align.conversion.supported import adapter_of
from keras_align.diagnostics import measure_alignment
from keras_align.matching import match_moments

QUICK = {"bert", "bart", "t5", "llama", "gpt_neo_x", "swin_transformer", "xlnet"}
NONE = {
    *("deberta_v3", "xlnet", "t5gemma2", "video_prism", "mmdit", "mobilenetv5"),
    *("qwen3", "qwen3_moe", "qwen3_5", "qwen3_5_vision", "qwen3_5_moe"),
    *("gemma3", "gemma3_bidirectional", "gemma3n", "gemma3n_shared"),
    *("gemma3n_multimodal", "gemma4", "gemma4_shared", "gemma4_vision"),
    *("gemma4_audio", "sam", "vit_det"),
}
# Its outputs change 80 times as much as its inputs if these are rounded otherwise.
SENSITIVE = {"sam3": 1e-3}
NAMES = slow_but(QUICK, [name for name in FAMILIES if name not in REFUSED])
pytestmark = [
    pytest.mark.backends("tensorflow"),
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask"),
    pytest.mark.filterwarnings("ignore:.*was called on layer"),
]


def outputs(model, inputs):
    values = tree.flatten(model(inputs, training=False))
    values = [ops.cast(x, "float32") for x in values if hasattr(x, "dtype")]
    return [ops.convert_to_numpy(x) for x in values if 0 not in x.shape]


def attentive(model):
    """Makes the model look at its tokens: with its first weights it hardly does."""
    draw = np.random.default_rng(0)
    for each in find_attention(model)[0]:
        for projection in adapter_of(each.layer).projections(each.layer):
            for weight in projection.weights:
                noise = draw.normal(0.0, 0.3, weight.shape)
                weight.assign(3.0 * ops.convert_to_numpy(weight) + noise)
    return model


def match(name):
    """Matches a family; returns the parts of its row in the table."""
    keras.utils.set_random_seed(0)
    model, inputs = FAMILIES[name]()
    before = outputs(attentive(model), inputs)
    weights = [np.copy(weight) for weight in model.weights]
    far = measure_alignment(model, inputs).total
    try:
        matched = match_moments(model, inputs, moments="covariance")
    except ValueError as error:
        assert all(map(np.array_equal, model.weights, weights))
        return name, "none", str(error).split("': '")[1].split("'")[0], far, far, 0.0
    after = outputs(model, inputs)
    near = measure_alignment(model, inputs).total
    change = max(
        float(np.max(np.abs(a - b)) / max(1.0, np.max(np.abs(a))))
        for a, b in zip(before, after, strict=True)
    )
    what = ", ".join(sorted({row.matched for row in matched.rows if row.matched}))
    why = "; ".join(sorted({row.note for row in matched.rows if row.note}))
    matched.restore()
    assert all(map(np.array_equal, model.weights, weights))
    return name, what, why, far, near, change


@pytest.mark.parametrize("name", NAMES)
def test_predictions_stay(name):
    _, what, why, far, near, change = match(name)
    assert (what == "none") == (name in NONE), why
    assert name in RANDOM or change <= SENSITIVE.get(name, 1e-5)
    assert near <= max(1.05 * far, 0.1)
    if what == "means, covariances":
        assert near < max(0.7 * far, 0.1)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("| family | matched | why not more | MMD | after | change |")
    print("|---|---|---|---|---|---|")
    for family in (name for name in FAMILIES if name not in REFUSED):
        name, what, why, far, near, change = match(family)
        print(f"| {name} | {what} | {why} | {far:.2f} | {near:.2f} | {change:.0e} |")
