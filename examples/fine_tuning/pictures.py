"""The pictures of `finetune_bert.py`."""

import finetuning
import numpy as np
import tables

from keras_align import diagnostics, visualization


def draw(task, runs, settings, folder):
    """Writes the three pictures of the runs with one seed into `folder`.

    `query_key.png` and `attention.png` show one head: the one whose keys and
    queries, in the first run, are apart by the median of all heads. It is a
    typical head, not the one that changes most.

    Args:
        task: A `sentences.Task`.
        runs: List of dictionaries from `finetuning.run_one`.
        settings: `finetuning.Settings`.
        folder: Path.
    """
    layer, head = typical_head(runs[0]["measure"].values)
    test = next(iter(task.tests.values()))
    points, scores = {}, {}
    for run in runs:
        title = tables.name(run["alignment"])
        preprocessor = run["model"].preprocessor
        inputs = finetuning.encode(preprocessor, test.first(settings.measured))
        record = layer_record(run["model"], inputs, layer)
        distance = run["measure"].values[layer][head]
        points[f"{title}\nMMD {distance:.3f}"] = (
            record.query[:, :, head][record.query_mask],
            record.key[:, :, head][record.key_mask],
        )
        sentence = finetuning.encode(preprocessor, short_sentence(test))
        words = tokens(preprocessor, sentence)
        record = layer_record(run["model"], sentence, layer)
        scores[title] = record.scores[0, head, : len(words), : len(words)]
    where = f"layer {layer + 1}, head {head + 1}"
    figure = visualization.plot_query_key(points)
    figure.suptitle(f"t-SNE of queries and keys: {where}")
    figure.savefig(folder / "query_key.png", dpi=150)
    figure = visualization.plot_attention(scores, words)
    figure.suptitle(f"Attention weights: {where}")
    figure.savefig(folder / "attention.png", dpi=150)
    draw_reliability(runs, folder)


def draw_reliability(runs, folder):
    """Writes `reliability.png`: a diagram for each test set and attention."""
    predictions = {
        f"{test}, {tables.name(run['alignment'])}": (
            run["tests"][test]["labels"],
            run["tests"][test]["probabilities"],
        )
        for run in runs
        for test in run["tests"]
    }
    figure = visualization.plot_reliability(predictions)
    figure.savefig(folder / "reliability.png", dpi=150)


def typical_head(values):
    """Returns the layer and the head with the median of `values`."""
    order = np.argsort(values, axis=None)
    return np.unravel_index(order[len(order) // 2], values.shape)


def layer_record(model, inputs, layer):
    """Returns what `diagnostics.record_attention` saw in one layer."""
    return list(diagnostics.record_attention(model, inputs).values())[layer]


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
