"""Every family of keras-hub with attention: aligned, trained a step, stripped.

The table of families in docs/convert_your_model.md is what these tests find;
`python tests/conversion/test_keras_hub_families.py` prints it.
"""

import pathlib
import re

import isolated
import keras
import numpy as np
import pytest
import score_operands
import tensorflow as tf
from keras import ops, tree
from keras_hub_models import FAMILIES
from keras_hub_models.exceptions import LAYERS, RANDOM, REFUSED
from parameters import slow_but

from keras_align.alignments import Alignment, register_alignment
from keras_align.conversion import align_model, strip_alignment
from keras_align.conversion.finding import find_attention
from keras_align.diagnostics import alignment_report
from keras_align.diagnostics.recording import record_attention

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "convert_your_model.md"
# Q-Former: the first layer sees learned queries that are zero at the start.
WITHOUT_GRADIENT = {"blip2": 1, "blip2_t5": 1}
# What stays plain beside attention that is aligned.
LEFT = {
    "DFineMultiscaleDeformableAttention": "samples positions, has no keys",
    "Gemma3nAudioAttention": "attends in overlapping chunks",
    "Gemma4AudioAttention": "attends in overlapping chunks",
    "Qwen3_5VisionAttention": "has no batch axis, runs outside of graphs only",
    "Conv2DMultiHeadAttention": "one convolution over the pixels, no heads",
    "MultiHeadAttentionWithDownsampling": "not called by the backbone",
}
# One for each way of attending and each kind of adapter; the others are long.
QUICK = {
    *("bert", "albert", "deberta_v3", "xlnet", "whisper"),
    *("gpt2", "gpt_neo_x", "llama", "gemma", "dinov3"),
}
NAMES = slow_but(QUICK, [name for name in FAMILIES if name not in REFUSED])

pytestmark = [
    pytest.mark.backends("tensorflow"),
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask"),
    pytest.mark.filterwarnings("ignore:.*was called on layer"),
]


def outputs(model, inputs):
    values = tree.flatten(model(inputs))
    return [ops.convert_to_numpy(x) for x in values if hasattr(x, "dtype")]


def same(left, right):
    """Whether two lists of arrays are equal; NaN is equal to nothing."""
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def identity(model):
    """What a conversion must give back: classes, names, paths and the same weights."""
    layers = [(type(layer), layer.name) for layer in model._flatten_layers()]
    return layers, [(id(weight), weight.path) for weight in model.weights]


def train(model, inputs):
    """One step of SGD on the size of the outputs.

    Returns:
        What the aligned layers added to the loss, and the ids of the weights that have
        a gradient.
    """
    with tf.GradientTape() as tape:
        values = tree.flatten(model(inputs, training=True))
        values = [ops.cast(x, "float32") for x in values if hasattr(x, "dtype")]
        added = [loss for layer in aligned_layers(model) for loss in layer.losses]
        loss = sum(ops.mean(ops.square(x)) for x in values) + sum(model.losses)
    weights = model.trainable_variables
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    pairs = [(g, w) for g, w in zip(gradients, weights, strict=True) if g is not None]
    keras.optimizers.SGD(1e-3).apply(*zip(*pairs, strict=True))
    moved = {id(w) for g, w in pairs if float(ops.max(ops.abs(g))) > 0.0}
    return added, moved


def aligned_layers(model):
    """The aligned layers, each once."""
    return [x for x in model._flatten_layers() if getattr(x, "alignment", None)]


def row(name, report):
    """The family's row in the page's table."""
    classes = dict.fromkeys(each.class_name for each in report.aligned)
    classes = ", ".join(each.removeprefix("Aligned") for each in classes)
    plain = [each for each in report.rows if each.alignment is None]
    left = dict.fromkeys(each.class_name for each in plain)
    notes = [f"{each} stays plain: {LEFT[each]}" for each in left]
    status = "; ".join(["converted", *notes])
    return f"| {name} | {classes} | {status} | 0.1 |"


@pytest.fixture(scope="module")
def family(request):
    """Name, model and inputs; the tests of a family follow one another."""
    keras.utils.set_random_seed(0)
    return request.param, *FAMILIES[request.param]()


families = pytest.mark.parametrize("family", NAMES, indirect=True)


@families
def test_family(family):
    name, model, inputs = family
    before, values = identity(model), outputs(model, inputs)
    align_model(model, layers=LAYERS.get(name))
    report = alignment_report(model)
    assert report.aligned
    assert name in RANDOM or same(outputs(model, inputs), values)

    added, moved = train(model, inputs)
    assert len(added) >= len(report.aligned)
    assert all(np.isfinite(float(loss)) for loss in added)
    still = [
        layer.name
        for layer in aligned_layers(model)
        if not all(id(w) in moved for w in layer.alignment.trainable_variables)
    ]
    assert len(still) == WITHOUT_GRADIENT.get(name, 0)

    values = outputs(model, inputs)
    strip_alignment(model)
    assert identity(model) == before
    assert name in RANDOM or same(outputs(model, inputs), values)
    assert row(name, report) in PAGE.read_text(encoding="utf-8")


@register_alignment("noting")
class Noting(Alignment):
    """Keeps the queries and keys that it is given, as arrays."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.given = []

    def call(self, query, key, query_mask=None, key_mask=None):
        self.given.append(tuple(map(score_operands.to_numpy, (query, key))))
        return ops.zeros((query.shape[0], query.shape[2]))


def without_zeros(model):
    """Moves weights that start at zero or one, which would hide what is left out."""
    generator = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign_add(generator.normal(0.0, 0.1, weight.shape).astype("float32"))


def recorded(model, inputs):
    """Calls of the attention layers, and their queries and keys by the layer's id."""
    layers = {each.path: each.layer for each in find_attention(model)[0]}
    with score_operands.noted_calls(layers.values()) as calls:
        records = record_attention(model, inputs)
    pairs = {}
    for path, record in records.items():
        of_layer = pairs.setdefault(id(layers[path.partition("@")[0]]), [])
        of_layer.append((record.query, record.key))
    return calls, pairs


def aligned_in_training(model, inputs):
    """As `recorded`, of what a training call gives to the alignments."""
    layers = aligned_layers(model)
    with score_operands.noted_calls(layers) as calls:
        model(inputs, training=True)
    return calls, {id(layer): layer.alignment.given for layer in layers}


@families
def test_queries_and_keys_are_those_of_the_scores(family):
    name, model, inputs = family
    without_zeros(model)
    score_operands.check(*recorded(model, inputs))
    for alone in (False, True):
        noting = Noting(projections_only=alone)
        align_model(model, noting, layers=LAYERS.get(name))
        score_operands.check(*aligned_in_training(model, inputs), repeated=alone)
        strip_alignment(model)


@pytest.mark.parametrize("name", REFUSED)
def test_family_that_is_refused(name):
    model, _ = FAMILIES[name]()
    before = identity(model)
    with pytest.raises(ValueError, match=r"(?s)no attention.*of other classes.*Atten"):
        align_model(model)
    assert identity(model) == before
    line = f"| {name} |  | refused: {REFUSED[name]} | |"
    assert line in PAGE.read_text(encoding="utf-8")


def test_every_backbone_of_keras_hub_is_in_the_table():
    """Or is known to have no attention of queries and keys."""
    import keras_hub

    without = {
        *("BASNetBackbone", "CSPNetBackbone", "DeepLabV3Backbone", "DenseNetBackbone"),
        *(
            "EfficientNetBackbone",
            "FNetBackbone",
            "HGNetV2Backbone",
            "MobileNetBackbone",
        ),
        *("RQVAEBackbone", "RWKV7Backbone", "ResNetBackbone", "RetinaNetBackbone"),
        *("VGGBackbone", "XceptionBackbone", "FeaturePyramidBackbone"),
    }
    text = "".join(
        file.read_text(encoding="utf-8")
        for file in (pathlib.Path(isolated.__file__).parent / "keras_hub_models").glob(
            "*.py"
        )
    )
    built = set(re.findall(r"\w+Backbone", text))
    built |= {f"{x}Backbone" for x in re.findall(r'_two_towers\("(\w+)"', text)}
    public = {
        value.__name__  # some have several names
        for name, value in vars(keras_hub.models).items()
        if isinstance(value, type) and name.endswith("Backbone")
    }
    assert public - without - {"Backbone"} <= built


def main():
    print("| family | attention | status | since |\n|---|---|---|---|")
    for name, build in FAMILIES.items():
        if name in REFUSED:
            print(f"| {name} |  | refused: {REFUSED[name]} | |")
        else:
            model = align_model(build()[0], layers=LAYERS.get(name))
            print(row(name, alignment_report(model)))


if __name__ == "__main__":
    main()
