"""The pictures of `finetune_bert.py`."""

import dataclasses

import finetuning
import numpy as np
import typos

import keras_align
from keras_align import diagnostics, visualization


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What the pictures need of a model at one time.

    Args:
        measure: What `keras_align.measure_alignment` found.
        points: List over layers of pairs of queries and keys `(tokens, heads, size)`.
        scores: List over layers of the attention weights `(heads, words, words)` in
            one short sentence.
        words: List of strings, the tokens of that sentence.
        special: Tuple of strings, the tokenizer's own tokens.
    """

    measure: keras_align.diagnostics.AlignmentMeasure
    points: list
    scores: list
    words: list
    special: tuple

    @property
    def distances(self):
        """Array `(layers, heads)`, the MMD of keys and queries."""
        return self.measure.values


def snapshot(model, task, settings, measure=None):
    """Returns the `Snapshot` of a model, on sentences of the first test set.

    Args:
        model: The classifier.
        task: A `sentences.Task`.
        settings: `finetuning.Settings`.
        measure: What `keras_align.measure_alignment` found there, if it is known.
    """
    test = next(iter(task.tests.values()))
    inputs = finetuning.encode(model.preprocessor, test.first(settings.measured))
    measure = measure or keras_align.measure_alignment(model, inputs)
    points = [
        (record.query[record.query_mask], record.key[record.key_mask])
        for record in diagnostics.record_attention(model, inputs).values()
    ]
    sentence = finetuning.encode(model.preprocessor, short_sentence(test))
    words = tokens(model.preprocessor, sentence)
    count = len(words)
    scores = [
        record.scores[0, :, :count, :count]
        for record in diagnostics.record_attention(model, sentence).values()
    ]
    special = tuple(model.preprocessor.tokenizer.special_tokens)
    return Snapshot(measure, points, scores, words, special)


def draw(runs, before, snapshots, folder):
    """Writes the four pictures of the runs with one seed into `folder`.

    `query_key.png` and `attention.png` show one head: the one whose keys and
    queries, in the first run, are apart by the median of all heads. It is a
    typical head, not the one that changes most.

    Args:
        runs: List of what `RepeatedRuns.run` returned, one for each method.
        before: The `Snapshot` of the first method's model before training.
        snapshots: List of the `Snapshot`s after these runs.
        folder: Path.
    """
    distances = snapshots[0].distances
    layer, head = typical_head(distances)
    where = (
        f"layer {layer} of {len(distances)}, head {head} of {distances.shape[1]} "
        "(counted from 0)"
    )
    titles = [run["method"].title for run in runs]
    named = {"before training": before} | dict(zip(titles, snapshots, strict=True))
    measures = {title: each.measure for title, each in named.items()}
    figure = visualization.plot_alignment(measures, scale="log")
    figure.savefig(folder / "alignment.png", dpi=150)
    points = {}
    for title, each in named.items():
        queries, keys = (x[:, head] for x in each.points[layer])
        points[f"{title}\nMMD {each.distances[layer][head]:.3f}"] = queries, keys
    figure = visualization.plot_query_key(points)
    figure.suptitle(f"t-SNE of queries and keys: {where}")
    figure.savefig(folder / "query_key.png", dpi=150)
    draw_attention(runs, snapshots, layer, head, where, folder)
    draw_reliability(runs, folder)


def draw_attention(runs, snapshots, layer, head, where, folder):
    """Writes `attention.png`: the first method, the first aligned one, the change."""
    methods = [run["method"] for run in runs]
    others = [n for n, method in enumerate(methods) if n and method.alignment]
    others = (others or list(range(1, len(methods))))[:1]
    scores = {methods[n].title: snapshots[n].scores[layer][head] for n in (0, *others)}
    figure = visualization.plot_attention(
        scores,
        snapshots[0].words,
        special_tokens=snapshots[0].special,
        gamma=0.5,
        difference=len(scores) > 1,
    )
    figure.suptitle(f"Attention weights: {where}")
    figure.savefig(folder / "attention.png", dpi=150)


def draw_reliability(runs, folder):
    """Writes `reliability.png`: a diagram for each test set and attention."""
    predictions = {
        f"{test}, {run['method'].title}": (found["labels"], found["probabilities"])
        for run in runs
        for test, found in run["tests"].items()
        if not test.endswith(typos.SUFFIX)
    }
    figure = visualization.plot_reliability(predictions)
    figure.savefig(folder / "reliability.png", dpi=150)


def typical_head(values):
    """Returns the layer and the head with the median of `values`."""
    order = np.argsort(values, axis=None)
    return np.unravel_index(order[len(order) // 2], values.shape)


def short_sentence(test, words=(8, 14)):
    """Returns the first sentence whose attention fits a picture, or the shortest."""
    counts = [
        sum(len(part.split()) for part in row)
        for row in zip(*test.columns, strict=True)
    ]
    fitting = [n for n, count in enumerate(counts) if words[0] <= count <= words[1]]
    return test.take([fitting[0] if fitting else int(np.argmin(counts))])


def tokens(preprocessor, inputs):
    """Returns the tokens of the first sentence as strings, without padding."""
    ids = inputs["token_ids"][0][inputs["padding_mask"][0].astype(bool)]
    return [preprocessor.tokenizer.id_to_token(int(index)) for index in ids]
