"""Time of the train step and of inference, alignment attention over soft attention.

    python benchmarks/train_step.py --output benchmarks/RESULTS.md

For every alignment a BERT with it and one without take steps in turns, so that both see
the same machine; the ratio is that of each pair of steps. Compilation is not timed. The
steps are those of `fit`: forward and backward pass, AdamW, metrics. `--max-tokens all
64 32` compares numbers of tokens on which the divergence is estimated, all in turns.

How often Sinkhorn's iterations run depends on the data, so `--preset FOLDER` takes real
weights and real sentences instead of random ones.

Floating-point operations are those of the matrix products, two for each multiplication,
from the formulas in `forward_operations` and `extra_operations`.
"""

import argparse
import functools
import gc
import importlib.metadata
import pathlib
import sys
import time

import keras
import keras_hub
import numpy as np
import results_file

import keras_align

ALIGNMENTS = ("gan", "ct", "mmd", "ot")
SIZES = {
    "MiniLM": {"num_layers": 6, "hidden_dim": 384, "intermediate_dim": 1536},
    "BERT-base": {"num_layers": 12, "hidden_dim": 768, "intermediate_dim": 3072},
}
DEFAULT = "default"
COLUMNS = (
    "model",
    "step",
    "alignment",
    "max_tokens",
    "soft, ms",
    "aligned, ms",
    "ratio",
    "quartiles",
    "extra operations",
    "inference ratio",
)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--alignments", nargs="+", default=list(ALIGNMENTS))
    parser.add_argument(
        "--max-tokens",
        nargs="+",
        type=token_count,
        default=[DEFAULT],
        metavar="N",
        help="on how many the divergence is estimated: `default`, `all` or a number",
    )
    reach = "what the loss trains (default: as the alignment has it)"
    parser.add_argument("--trains", choices=["projections", "all_layers"], help=reach)
    parser.add_argument("--layers", type=int, help="instead of those of the size")
    parser.add_argument("--steps", nargs="+", default=["xla", "graph"])
    parser.add_argument("--preset", help="also a BERT with these real weights")
    parser.add_argument("--sentences", help="text file for it, one sentence a line")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--length", type=int, default=128, help="tokens a sample")
    parser.add_argument("--repeats", type=int, default=15, help="pairs of steps")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--machine", default="", help="a few words for the title")
    results_file.add_output(parser)
    return parser.parse_args(arguments)


def token_count(text):
    """What `max_tokens` an argument means."""
    return None if text == "all" else DEFAULT if text == DEFAULT else int(text)


def method(alignment, max_tokens):
    """The alignment of that name that estimates the divergence on so many tokens."""
    found = keras_align.alignments.get_alignment(alignment)
    if max_tokens != DEFAULT:
        found = type(found)(max_tokens=max_tokens)
    return found


def build(size, preset, options, jit_compile, alignment=None):
    """Returns a compiled classifier, with `alignment` if one is given."""
    keras.utils.set_random_seed(0)
    if preset:
        load = keras_hub.models.BertTextClassifier.from_preset
        model = load(preset, num_classes=2, preprocessor=None)
    else:
        config = {"vocabulary_size": 30522, "num_heads": 12, **SIZES[size]}
        config["num_layers"] = options.layers or config["num_layers"]
        backbone = keras_hub.models.BertBackbone(**config)
        model = keras_hub.models.BertTextClassifier(
            backbone, num_classes=2, preprocessor=None
        )
    if alignment is not None:
        keras_align.align_model(model, alignment)
    model.compile(
        optimizer=keras.optimizers.AdamW(2e-5),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    return model


def make_batch(options, sentences=None):
    """Returns token ids with padding, half a sample at most, and labels."""
    draw = np.random.default_rng(0)
    shape = options.batch_size, options.length
    lengths = draw.integers(options.length // 2, options.length + 1, shape[:1])
    mask = np.arange(options.length) < lengths[:, None]
    ids = draw.integers(1000, 30000, shape)
    if sentences is not None:
        ids[:] = 0
        for row, length in zip(ids, lengths, strict=True):
            words = []
            while len(words) < length:
                words.extend(sentences[draw.integers(len(sentences))])
            row[:length] = words[:length]
    inputs = {
        "token_ids": (ids * mask).astype("int32"),
        "segment_ids": np.zeros(shape, "int32"),
        "padding_mask": mask.astype("int32"),
    }
    return inputs, draw.integers(0, 2, shape[:1]).astype("int32")


def read_sentences(options):
    """Returns the token ids of real sentences, by default movie reviews."""
    file = options.sentences
    if file is None:
        root = pathlib.Path(__file__).resolve().parents[1]
        sys.path.insert(0, str(root / "examples"))
        import fetching

        file = fetching.rated_sentences() / "movieReviewSnippets_GroundTruth.txt"
    lines = pathlib.Path(file).read_text(encoding="utf-8").splitlines()[:2000]
    tokenizer = keras_hub.models.BertTokenizer.from_preset(options.preset)
    tokens = tokenizer([line.split("\t")[-1] for line in lines])
    return [np.asarray(each) for each in tokens]


def forward_operations(backbone, batch, length):
    """Of a forward pass: projections, feed-forward layers, attention."""
    width, tokens = backbone.hidden_dim, batch * length
    products = 4 * width**2 + 2 * width * backbone.intermediate_dim
    pairs = 2 * length * width
    return 2 * tokens * backbone.num_layers * (products + pairs)


def trains_projections_only(alignment):
    """Whether the loss of an alignment trains no more in layers of Keras."""
    asked = alignment.projections_only
    return alignment.default_projections_only if asked is None else asked


def extra_operations(alignment, backbone, batch, length):
    """Of an alignment's share in a train step.

    A network costs its forward pass three times, for queries and for keys; that of
    "gan" four times, as inputs and weights get gradients of their own. Between all
    pairs of tokens run 3 products of head size in "ot", 7 in "mmd", and in "ct" 5 of
    head size and 3 of feature size. "ot" is counted with all of its iterations. Where
    the loss trains the projections alone, queries and keys are projected once more, and
    both kernels get gradients of their own.
    """
    products = 0
    if trains_projections_only(alignment):
        products += 4 * batch * length * backbone.hidden_dim**2
    length = min(length, alignment.max_tokens or length)
    heads, size = backbone.num_heads, backbone.hidden_dim // backbone.num_heads
    vectors, pairs = batch * length * heads, batch * length**2 * heads
    hidden = getattr(alignment, "hidden_dim", 0)
    if isinstance(alignment, keras_align.AdversarialAlignment):
        products += 8 * vectors * (2 * size**2 + size * hidden + hidden)
    elif isinstance(alignment, keras_align.ConditionalTransportAlignment):
        feature = alignment.feature_dim
        critic = 2 * size**2 + 2 * size * hidden
        navigator = size * hidden + hidden * feature
        products += 6 * vectors * (critic + navigator)
        products += pairs * (5 * size + 3 * feature)
    elif isinstance(alignment, keras_align.OptimalTransportAlignment):
        products += 3 * pairs * size + 2 * pairs * alignment.max_iterations
    elif isinstance(alignment, keras_align.MaximumMeanDiscrepancyAlignment):
        products += 7 * pairs * size
    return 2 * backbone.num_layers * products


def measure(runs, options):
    """Runs all in turns after two calls each; returns seconds `(repeats, runs)`."""
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    for run in runs:
        run()
        run()
    seconds = np.zeros((options.repeats, len(runs)))
    for repeat in range(options.repeats):
        for i in np.roll(range(len(runs)), repeat):
            start = clock()
            runs[i]()
            seconds[repeat, i] = clock() - start
    return seconds


def compare(name, preset, step, soft, data, alignment, options):
    """Measures an alignment with each `max_tokens`; returns rows of the table."""
    methods = [method(alignment, number) for number in options.max_tokens]
    for each in methods:
        if options.trains:
            each.projections_only = options.trains == "projections"
    jit_compile = step == "xla"
    aligned = [build(name, preset, options, jit_compile, each) for each in methods]
    models = soft, *aligned
    train = measure(
        [functools.partial(x.train_on_batch, *data) for x in models], options
    )
    infer = measure(
        [functools.partial(x.predict_on_batch, data[0]) for x in models], options
    )
    size = soft.backbone, options.batch_size, options.length
    rows = ""
    for number, each in enumerate(methods, 1):
        ratios = np.quantile(train[:, number] / train[:, 0], [0.25, 0.5, 0.75])
        low, middle, high = ratios
        soft_ms, aligned_ms = 1000.0 * np.median(train[:, [0, number]], axis=0)
        extra = extra_operations(each, *size) / (3 * forward_operations(*size))
        inference = np.median(infer[:, number] / infer[:, 0])
        rows += (
            f"| {name} | {step} | {alignment} | {each.max_tokens or 'all'} "
            f"| {soft_ms:.0f} | {aligned_ms:.0f} | **{middle:.2f}** "
            f"| {low:.2f}, {high:.2f} | {extra:+.1%} | {inference:.2f} |\n"
        )
    return rows


def main(arguments=None):
    options = parse_arguments(arguments)
    data = make_batch(options)
    cases = [(size, None, data) for size in options.sizes]
    if options.preset:
        real = make_batch(options, read_sentences(options))
        cases.append(("real weights", options.preset, real))
    rows = ""
    for name, preset, data in cases:
        for step in options.steps:
            soft = build(name, preset, options, step == "xla")
            for alignment in options.alignments:
                found = compare(name, preset, step, soft, data, alignment, options)
                print(found, end="", flush=True)
                rows += found
                gc.collect()
            del soft
            keras.backend.clear_session()
    header = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
    report = title(options) + "\n" + header + rows
    if options.output:
        results_file.put(report, options.output, "train_step.py")


def title(options):
    packages = "keras", "tensorflow", "keras-hub"
    versions = [f"{x} {importlib.metadata.version(x)}" for x in packages]
    layers = [f"{options.layers} layers"] if options.layers else []
    parts = [
        f"{options.batch_size} x {options.length} tokens",
        *layers,
        *([f"the loss trains {options.trains}"] if options.trains else []),
        f"{options.repeats} rounds of steps",
        f"{options.clock} time",
        *([options.machine] if options.machine else []),
        *versions,
    ]
    return f"{', '.join(parts)}. Ratio: median and quartiles of aligned / soft.\n"


if __name__ == "__main__":
    main()
