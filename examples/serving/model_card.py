"""The page of an exported model: what it is, and how good it was found to be."""

import datetime
import importlib.metadata
import json
import pathlib
import platform

PACKAGES = "keras-align", "keras", "keras-nlp", "tensorflow", "tensorflow-text"


def facts(task, model, tests, settings=None, file=None):
    """Everything that is known of an exported model, as JSON can hold it.

    Args:
        task: `sentences.Task`.
        model: the classifier, before it was exported.
        tests: dictionary from what the model computes in, as "float32", to what
            `finetuning.test` returned.
        settings: `finetuning.Settings` of its training, if that is known.
        file: name of the file it was read from, if it was not trained.
    """
    return {
        "name": f"{task.name}, {len(task.classes)} classes",
        "created": datetime.date.today().isoformat(),
        "class_names": task.classes,
        "sequence_length": model.preprocessor.sequence_length,
        "base_model": describe(model, file or settings.preset),
        "training": training(task, settings) if settings else None,
        "tests": {name: len(sentences) for name, sentences in task.tests.items()},
        "alignment": alignments(model),
        "results": results(tests),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
    }


def results(tests):
    """Accuracy and expected calibration error in percent, for each kind and test."""
    return {
        kind: {
            name: {key: round(100 * found[key], 2) for key in ("accuracy", "ece")}
            for name, found in of_kind.items()
        }
        for kind, of_kind in tests.items()
    }


def describe(model, source):
    """The backbone, and the name of the source of its weights."""
    backbone, source = model.backbone, pathlib.PurePath(source).name
    weights = (backbone.count_params() - added_weights(model)) / 1e6
    return f"{type(backbone).__name__}, {weights:.1f} million weights, from {source}"


def added_weights(model):
    import keras_align

    return keras_align.alignment_report(model).added_weights


def alignments(model):
    """What the layers were aligned with, as `alignment_report` says."""
    import keras_align

    rows = keras_align.alignment_report(model).aligned
    return [
        {"layer": row.path, "alignment": row.alignment, "weight": row.alignment_weight}
        for row in rows
    ]


def training(task, settings):
    names = ("epochs", "batch_size", "learning_rate", "weight_decay", "precision")
    size = len(settings.sentences(task))
    return {"sentences": size, **{name: getattr(settings, name) for name in names}}


def write(found, folder):
    """Writes `metadata.json` for programs and `model_card.md` for people."""
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    (folder / "metadata.json").write_text(text, encoding="utf-8")
    (folder / "model_card.md").write_text(card(found), encoding="utf-8")


def card(found):
    """The page as Markdown."""
    sizes = found["tests"]
    rows = [
        f"| {kind} | {name} | {sizes[name]} "
        f"| {row['accuracy']:.1f} | {row['ece']:.1f} |"
        for kind, tests in found["results"].items()
        for name, row in tests.items()
    ]
    versions = ", ".join(f"{name} {value}" for name, value in found["versions"].items())
    return "\n".join(
        [
            f"# {found['name']}",
            "",
            f"Exported on {found['created']}. Answers a text with one of "
            f"{', '.join(found['class_names'])} and the probabilities of all. Texts "
            f"longer than {found['sequence_length']} tokens are cut.",
            "",
            f"- Base model: {found['base_model']}",
            f"- Training: {trained(found)}",
            f"- Aligned: {aligned(found['alignment'])}",
            f"- Versions: {versions}",
            "",
            f"{measured(found)} ECE: expected calibration error, 10 bins.",
            "",
            "| computes in | test | sentences | accuracy, % | ECE, % |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "The SavedModel in `saved_model/` has the operations and weights of plain "
            "attention alone. `import tensorflow_text` before loading it.",
            "",
        ]
    )


def trained(found):
    settings = found["training"]
    if settings is None:
        return "not recorded; the model was loaded from a file"
    return (
        f"{settings['sentences']} sentences of {found['name'].rsplit(',', 1)[0]}, "
        f"{settings['epochs']} epoch(s), batches of {settings['batch_size']}, AdamW, "
        f"learning rate {settings['learning_rate']:g} falling to 0, "
        f"{settings['precision']}"
    )


def measured(found):
    if found["training"] is None:
        return "Whether it was trained on the sentences of the tests is not recorded."
    return (
        "Measured on sentences that were not trained on; the first set is of the kind "
        "that was."
    )


def aligned(rows):
    if not rows:
        return "none"
    kinds = sorted({f"{row['alignment']} (weight {row['weight']:g})" for row in rows})
    return f"{', '.join(kinds)} in {len(rows)} layers"
