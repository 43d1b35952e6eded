"""An HTML page that compares a model before and after."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_align.reports import answer_sections, data_sets, model_sections, page
from keras_align.reports.examining import Examination, conditions, examine
from keras_align.validation import checks


def report(
    model_before: keras.Model | Examination | str | os.PathLike,
    model_after: keras.Model | Examination | str | os.PathLike,
    data: Any,
    path: str | os.PathLike,
    titles: Sequence[str] = ("before", "after"),
    class_names: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    notes: Mapping[str, str] | None = None,
    samples: int = 128,
    examples: int = 8,
    from_logits: bool | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> pathlib.Path:
    """Writes one HTML page about two models: what was aligned, and what it changed.

    The page needs no network and nothing beside it. It shows which attention is
    aligned, the MMD of keys and queries of every layer and head, keys and queries of
    a typical head, accuracy, expected calibration error, negative log-likelihood and
    Brier score on every data set with 95% intervals of the change, reliability
    diagrams, samples whose answer changed, settings and versions.

    Args:
        model_before: `keras.Model`, the path of a saved one, or what
            `keras_align.reports.examine` returned, as training changes a model in
            place.
        model_after: the same of the other model.
        data: tuple `(inputs, labels)` or `(inputs, labels, shown)`, or a dictionary
            from titles to such tuples, as of data in and out of domain. Inputs are what
            `predict` takes, also texts of a model with a `preprocessor`; labels int
            `(n,)` or one-hot `(n, C)`, or `None` for keys and queries alone; `shown`
            texts `(n,)` that stand for the samples on the page, by default the inputs
            where they are texts. Keys and queries are of the first data set.
        path: where the page is written. A page that is there is replaced, no other
            file.
        titles: two strings, of the models. Defaults to `("before", "after")`.
        class_names: strings, one a class, or `None` for their numbers.
        settings: dictionary of what else the page should say, as hyperparameters.
        notes: dictionary from headings to texts that are shown as they are, as a table
            over seeds.
        samples: int > 0, how many samples keys and queries are measured on. Defaults to
            `128`.
        examples: int >= 0, how many samples whose answer changed are shown of each data
            set. Defaults to `8`.
        from_logits: bool, whether the models return logits, or `None`, the default:
            outputs that sum to 1 are probabilities.
        batch_size: int > 0. Defaults to `32`.
        seed: int >= 0, of the samples of tokens and of the bootstrap. Defaults to `0`.

    Returns:
        The path of the page, a `pathlib.Path`.

    Raises:
        ValueError: if an argument is wrong, a model calls no attention layer, or
            answers do not fit the labels. Nothing is written then.
        OSError: if the page cannot be written, before a model runs.

    Example:

    >>> inputs = keras.Input((5, 16))
    >>> x = keras.layers.MultiHeadAttention(2, 8)(inputs, inputs)
    >>> x = keras.layers.GlobalAveragePooling1D()(x)
    >>> model = keras.Model(inputs, keras.layers.Dense(2)(x))
    >>> data = np.random.randn(8, 5, 16), np.zeros(8, int)
    >>> before = keras_align.reports.examine(model, data)
    >>> matched = keras_align.match_moments(model, data[0])
    >>> keras_align.report(before, model, data, "report.html").name
    'report.html'
    """
    checks.count("examples", examples)
    _check_mappings(settings=settings, notes=notes)
    names, file = _two(titles), page.writable(path)
    sets = data_sets.read(data)
    options = samples, from_logits, batch_size, seed
    before = _examined("model_before", model_before, data, options)
    after = _examined("model_after", model_after, data, options)
    _check_answers((before, after), conditions(sets, samples, seed))
    pair = before, after
    content = [
        ("What is aligned", model_sections.layers(names, pair)),
        ("Discrepancy of keys and queries", model_sections.heat_maps(names, pair)),
        ("Keys and queries", model_sections.clouds(names, pair)),
    ]
    if before.answers:
        classes = _classes(class_names, before)
        content += _of_answers(names, pair, sets, classes, examples, seed)
    content += [
        (name, model_sections.note(name, x)) for name, x in (notes or {}).items()
    ]
    content.append(("Settings", model_sections.facts(names, pair, settings or {})))
    heading = f"{names[0]} and {names[1]}: keys and queries of {after.name}"
    page.write(page.page(heading, model_sections.summary(names, pair), content), file)
    return file


def _of_answers(names, pair, sets, classes, examples, seed):
    shown = {each.title: each.shown for each in sets}
    changed = answer_sections.changes(names, pair, shown, classes, examples)
    return [
        ("Accuracy and calibration", answer_sections.comparison(names, pair, seed)),
        ("Reliability", answer_sections.diagrams(names, pair)),
        ("Answers that changed", changed),
    ]


def _examined(name, model, data, options):
    if isinstance(model, Examination):
        return model
    if isinstance(model, str | os.PathLike):
        model = keras.saving.load_model(model)
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Argument `{name}` must be a keras.Model, the path of a saved one or an "
            f"Examination. Received: {name}={model!r}"
        )
    samples, from_logits, batch_size, seed = options
    return examine(model, data, samples, from_logits, batch_size, seed)


def _check_mappings(**given):
    for name, value in given.items():
        if value is not None and not isinstance(value, Mapping):
            raise ValueError(
                f"Argument `{name}` must be a dictionary. Received: {name}={value!r}"
            )


def _two(titles):
    names = [] if isinstance(titles, str) else list(map(str, titles))
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(
            "Argument `titles` must be two different strings. "
            f"Received: titles={titles!r}"
        )
    return names


def _classes(class_names, examined):
    """The names of the classes, their numbers without any."""
    count = next(iter(examined.answers.values())).probabilities.shape[1]
    if class_names is None:
        return [f"class {number}" for number in range(count)]
    names = [] if isinstance(class_names, str) else list(map(str, class_names))
    if len(names) != count:
        raise ValueError(
            f"Argument `class_names` must be {count} strings, one a class. "
            f"Received: class_names={class_names!r}"
        )
    return names


def _check_answers(models, given):
    """Raises unless both models were examined in the same way, on these data."""
    for model in models:
        differing = [
            name for name, value in model.measured_on.items() if given[name] != value
        ]
        if differing:
            raise ValueError(
                "Arguments `data`, `samples` and `seed` must be those that both models "
                f"were examined with. Received: others of {differing}"
            )
    for title in models[0].answers:
        classes = {model.answers[title].probabilities.shape[1] for model in models}
        if len(classes) > 1:
            raise ValueError(
                "Arguments `model_before` and `model_after` must have equally many "
                f"classes. Received: models with {sorted(classes)}"
            )
