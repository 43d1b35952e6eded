"""How far keys and queries are apart before and after `match_moments`, and its price.

    python benchmarks/matched_moments.py --output benchmarks/RESULTS.md

Models: the pre-trained MiniLM BERT on movie reviews, matched on 128 sentences of the
training set and measured on other movie reviews and on tweets; a small vision
transformer on scikit-learn's digits and a small GPT-2 on the letters of movie reviews,
each with random weights and trained (matched on one part of the data, measured on
another). MMD is the unbiased one of `measure_alignment`, summed over layers and heads;
"remains" is `measure_alignment(matched=True)`, the coordinates fitted to the very data.

The second table is the price in low precision: by how much the attention weights of
MiniLM change (mean L1 distance of a row, over real queries) if queries and keys are
rounded to bfloat16, or to int8 with one scale a token.
"""

import argparse
import pathlib
import sys

import keras
import keras_hub
import ml_dtypes
import numpy as np
import results_file
from sklearn.datasets import load_digits

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
sys.path[:0] = [str(EXAMPLES), str(EXAMPLES / "fine_tuning")]

import fetching
import finetuning
import sentences

import keras_align

MOMENTS = ("mean", "covariance")
LETTERS = 96  # tokens of a text of the small GPT-2


def minilm():
    """The model, the inputs to match on, and those to measure on by name."""
    task = sentences.rated_sentences(fetching.rated_sentences())
    settings = finetuning.Settings(fetching.minilm(), sequence_length=32)
    model = finetuning.build(settings, 2, seed=0)

    def encode(part):
        return finetuning.encode(model.preprocessor, part.first(128))

    tests = {name: encode(task.tests[name]) for name in ("movies", "tweets")}
    return model, encode(task.train), tests


def vision_transformer():
    """A vision transformer on digits: 16 patches of 2 x 2, three layers."""
    data = load_digits()
    images = data.images.astype("float32").reshape(-1, 4, 2, 4, 2)
    patches = images.transpose(0, 1, 3, 2, 4).reshape(-1, 16, 4) / 16.0
    inputs = keras.Input((16, 4))
    x = keras.layers.Dense(32)(inputs)
    x = keras_hub.layers.PositionEmbedding(16)(x) + x
    for _ in range(3):
        x = keras_hub.layers.TransformerEncoder(64, 4)(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    return model, patches, data.target


def letters_model():
    """A small GPT-2 that predicts the next letter."""
    task = sentences.rated_sentences(fetching.rated_sentences())
    text = " ".join(task.train.columns[0]).encode("ascii", "replace")
    codes = np.frombuffer(text, "uint8")[: 3000 * LETTERS].reshape(-1, LETTERS) % 128
    codes = codes.astype("int32")
    backbone = keras_hub.models.GPT2Backbone(128, 3, 4, 64, 128, dropout=0.0)
    inputs = {
        name: keras.Input((LETTERS,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    model = keras.Model(inputs, keras.layers.Dense(128)(backbone(inputs)))
    data = {"token_ids": codes, "padding_mask": np.ones_like(codes)}
    labels = np.concatenate([codes[:, 1:], codes[:, :1]], axis=1)
    return model, data, labels


def train(model, data, labels, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    history = model.fit(data, labels, epochs=epochs, batch_size=32, verbose=0)
    return history.history["accuracy"][-1]


def first(data, start, stop):
    return keras.tree.map_structure(lambda x: x[start:stop], data)


def row(title, model, fitted, measured):
    """A row of the table: MMD before, with means and covariances matched, the rest."""
    cells = [keras_align.measure_alignment(model, measured).total]
    before = model.predict(measured, verbose=0)
    changes = []
    for moments in MOMENTS:
        with keras_align.match_moments(model, fitted, moments=moments):
            cells.append(keras_align.measure_alignment(model, measured).total)
            changes.append(np.abs(model.predict(measured, verbose=0) - before).max())
    cells.append(keras_align.measure_alignment(model, measured, matched=True).total)
    texts = " | ".join(f"{cell:.3f}" for cell in cells)
    return f"| {title} | {texts} | {max(changes):.0e} |"


def table():
    rows = [
        "| model, data | as it came | means | covariances | remains | change |",
        "|---|---|---|---|---|---|",
    ]
    model, fitted, tests = minilm()
    with finetuning.taking_tokens(model):
        rows += [row(f"MiniLM, {k}", model, fitted, x) for k, x in tests.items()]
    for name, make, epochs in (
        ("vision transformer", vision_transformer, 20),
        ("GPT-2 style", letters_model, 4),
    ):
        keras.utils.set_random_seed(0)
        model, data, labels = make()
        fitted, other = first(data, 0, 128), first(data, 128, 256)
        rows.append(row(f"{name}, random", model, fitted, other))
        accuracy = train(model, data, labels, epochs)
        title = f"{name}, trained ({100 * accuracy:.0f} % right)"
        rows.append(row(title, model, fitted, other))
    return "\n".join(rows)


def precision_table():
    """How coarsely attention weights are rounded before and after."""
    model, fitted, tests = minilm()
    rows = ["| coordinates | bfloat16 | int8 |", "|---|---|---|"]
    with finetuning.taking_tokens(model):
        rows.append(f"| as they came | {errors(model, tests['movies'])} |")
        for moments in MOMENTS:
            with keras_align.match_moments(model, fitted, moments=moments):
                errors_now = errors(model, tests["movies"])
            rows.append(f"| {moments} matched | {errors_now} |")
    return "\n".join(rows)


def errors(model, inputs):
    """Mean L1 distance of a row of weights, for two ways of rounding, as two cells."""
    records = keras_align.record_attention(model, inputs).values()
    cells = []
    for rounded in (to_bfloat16, to_int8):
        changes = [row_changes(record, rounded) for record in records]
        cells.append(f"{np.mean(np.concatenate(changes)):.4f}")
    return " | ".join(cells)


def row_changes(record, rounded):
    exact = weights(record.query, record.key, record.key_mask)
    coarse = weights(rounded(record.query), rounded(record.key), record.key_mask)
    changes = np.abs(exact - coarse).sum(-1).transpose(0, 2, 1)  # (B, T, N)
    return changes[record.query_mask].ravel()


def weights(query, key, key_mask):
    query, key = query.astype("float64"), key.astype("float64")
    scores = np.einsum("btnh,bsnh->bnts", query, key) / query.shape[-1] ** 0.5
    scores = np.where(key_mask[:, None, None], scores, -np.inf)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True)


def to_bfloat16(x):
    return x.astype(ml_dtypes.bfloat16).astype("float32")


def to_int8(x):
    scale = np.abs(x).max(-1, keepdims=True) / 127.0
    return np.round(x / np.maximum(scale, 1e-30)) * scale


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    results_file.add_output(parser)
    arguments = parser.parse_args()
    text = table() + "\n\n" + precision_table()
    print(text)
    if arguments.output:
        results_file.put(text, arguments.output, "matched_moments.py")


if __name__ == "__main__":
    main()
