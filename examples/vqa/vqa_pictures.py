"""Pictures of trained networks: where they look, and how far they can be trusted."""

import keras
import numpy as np
import scoring
from question_data import split
from vqa_scores import unseen_last, with_unseen

import keras_align
from keras_align import visualization

SHOWN = 3  # questions
MEASURED = 128  # questions whose keys and queries are drawn


def draw(models, untrained, task, folder):
    """Writes the pictures of some networks and returns how many there are.

    Args:
        models: Dictionary from titles to networks that were trained.
        untrained: A network as it was before training, of the same size.
        task: `vqa_training.Task`.
        folder: `pathlib.Path`.
    """
    if not models:
        return 0
    chosen = choose(task.data.test)
    pictures = {
        "attention.png": draw_attention(models, task, chosen),
        "query_key.png": draw_query_key(models, untrained, task),
        "coverage.png": draw_coverage(models, task),
    }
    for name, figure in pictures.items():
        figure.savefig(folder / name, dpi=120, bbox_inches="tight")
    return len(pictures)


def choose(questions):
    """Returns the numbers of questions of different images, the longest of each."""
    rng = np.random.default_rng(0)
    images = rng.permutation(np.unique(questions.images))[:SHOWN]
    chosen = []
    for image in images:
        numbers = np.flatnonzero(questions.images == image)
        chosen.append(max(numbers, key=lambda k: len(split(questions.texts[k]))))
    return np.array(chosen)


def draw_attention(models, task, chosen):
    """Returns a figure: a row for each question, with every model's words and image."""
    questions = task.data.test.take(chosen)
    figure, axes = panels(len(chosen), 1 + 2 * len(models), 3.4, 3.2)
    photos = pixels(task, questions.images)
    for row, text in enumerate(questions.texts):
        axes[row][0].imshow(photos[row])
        truth = ", ".join(questions.answers[row])
        axes[row][0].set_title(f"{wrapped(text)}\ntrue: {truth}", fontsize=9)
        axes[row][0].axis("off")
    for column, (title, model) in enumerate(models.items()):
        words, regions, answers = looks(model, task, questions)
        for row in range(len(chosen)):
            image, bars = axes[row][1 + 2 * column : 3 + 2 * column]
            overlay(image, photos[row], regions[row])
            image.set_title(f"{title}: {answers[row]}", fontsize=9)
            draw_words(bars, split(questions.texts[row])[: len(words[row])], words[row])
    return figure


def looks(model, task, questions):
    """Returns where a network looks for some questions.

    Returns:
        Tuple: the weights of words `(n, T)`, to which the last unit's regions attend in
        the mean over heads and, by their own weights, over regions; the weights of
        regions `(n, R)` of the last reduction; the answers, as strings.
    """
    inputs = task.inputs(questions)
    last = last_unit(model)
    record = keras_align.record_attention(model, inputs)[last + "guided_attention"]
    norm = model.get_layer(last + "feed_forward_norm").output
    features = keras.Model(model.input, norm)(inputs)
    _, weights = model.get_layer("image_reduction")(
        features, return_attention_scores=True
    )
    regions = keras.ops.convert_to_numpy(weights)
    words = np.einsum("bnrt,br->bt", record.scores, regions) / record.scores.shape[1]
    best = keras.ops.convert_to_numpy(model(inputs)).argmax(-1)
    return words, regions, [task.vocabulary.answers[k] for k in best]


def last_unit(model):
    """Returns how the names of the layers of the last unit of regions begin."""
    return f"image_{model.get_config()['num_layers']}_"


def pixels(task, images):
    """Returns the images as pixels, grey cells of a grid if there are none."""
    loaded = task.data.load_images(images)
    if loaded.ndim == 4:
        return loaded
    side = int(np.ceil(loaded.shape[1] ** 0.5))
    return np.full((len(loaded), side, side, 3), 230, "uint8")


def overlay(axis, image, weights):
    """Draws the weights of a grid of regions over an image."""
    side = round(len(weights) ** 0.5)
    axis.imshow(image)
    axis.axis("off")
    if side * side != len(weights):
        return  # regions without a place
    height, width = image.shape[:2]
    axis.imshow(
        weights.reshape(side, side),
        extent=(0, width, height, 0),
        cmap="inferno",
        alpha=0.6,
        interpolation="bilinear",
    )


def draw_words(axis, words, weights):
    """Draws the weight of every word as a bar."""
    places = np.arange(len(words))
    axis.barh(places, weights[: len(words)], color="tab:blue")
    axis.set_yticks(places, words, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("attention weight", fontsize=8)


def draw_query_key(models, untrained, task):
    """Returns t-SNE of keys and queries of the last guided attention's first head."""
    questions = task.data.test.take(np.arange(min(MEASURED, len(task.data.test))))
    points = {}
    for title, model in {"before training": untrained, **models}.items():
        layer = last_unit(model) + "guided_attention"
        records = keras_align.record_attention(model, task.inputs(questions))
        query = records[layer].query[records[layer].query_mask][:, 0]
        key = records[layer].key[records[layer].key_mask][:, 0]
        points[title] = query, key
    figure = visualization.plot_query_key(points)
    figure.suptitle("t-SNE of regions (queries) and words (keys): guided attention")
    return figure


def draw_coverage(models, task):
    """Returns a figure of accuracy over coverage."""
    figure, ((axis,),) = panels(1, 1, 5.5, 4.5)
    questions = task.data.test
    labels = task.vocabulary.labels(questions)
    for title, model in models.items():
        probabilities = scoring.softmax(
            model.predict(task.batches(questions), verbose=0)
        )
        metric = keras_align.RiskCoverage()
        metric.update_state(
            unseen_last(probabilities, labels), with_unseen(probabilities)
        )
        coverage, risk = metric.curve()
        axis.plot(100.0 * coverage, 100.0 * (1.0 - risk), label=title)
    axis.set_xlabel("coverage: questions that are answered, the surest first, %")
    axis.set_ylabel("accuracy of these answers, %")
    axis.set_title(f"{task.data.name}: {len(questions):,} questions of the test")
    axis.legend()
    axis.grid(alpha=0.3)
    return figure


def panels(rows, columns, width, height):
    """Returns a figure with a grid of panels, as a list of lists of axes."""
    from matplotlib.figure import Figure

    figure = Figure((width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def wrapped(text, width=38):
    """Returns a text in lines."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + len(word) >= width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "\n".join([*lines, line])
