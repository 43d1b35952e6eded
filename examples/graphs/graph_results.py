"""Runs in a CSV file, so that a comparison that was stopped goes on; their table."""

import functools

import comparing
import runs_file

KEY = ("dataset", "scoring", "split", "method", "weight", "options", "precision")
KEY += ("seed", "epochs", "patience")
SCORES = ("accuracy", "nll", "ece", "scaled_ece", "noisy_features", "noisy_links")
OF_RUN = ("validation_accuracy", *SCORES, "alignment_loss", "mmd")
OF_RUN += ("best_epoch", "epochs_run", "seconds")
TITLES = {
    "accuracy": "accuracy, %",
    "nll": "NLL",
    "ece": "ECE, %",
    "scaled_ece": "ECE scaled, %",
    "noisy_features": "accuracy, noisy features, %",
    "noisy_links": "accuracy, noisy links, %",
    "mmd": "total MMD",
    "validation_accuracy": "validation accuracy, %",
}


Runs = functools.partial(runs_file.Runs, key=KEY, of_run=OF_RUN)


def table(by_method):
    """Returns a table of scores, see `comparing.table`."""
    lines = (
        (name, title, *((100.0, 2) if title.endswith("%") else (1.0, 3)))
        for name, title in TITLES.items()
    )
    return comparing.table(by_method, lines)
