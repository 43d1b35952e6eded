"""The results of `finetune_bert.py` as a printed table and as CSV files."""

import csv
import dataclasses
import textwrap

import comparing
import numpy as np

TITLES = {
    "accuracy": "accuracy, %",
    "f1": "F1, %",
    "matthews": "Matthews, %",
    "pearson": "Pearson, %",
    "spearman": "Spearman, %",
    "ece": "ECE, %",
    "scaled_ece": "ECE scaled, %",
    "nll": "NLL",
}
LARGER_IS_BETTER = {
    TITLES[key] for key in ("accuracy", "f1", "matthews", "pearson", "spearman")
}
VERDICTS = {
    "better": "better",
    "worse": "worse",
    "the same": "the same",
    "undecided": "undecided (in brackets how many seeds would decide if it stays so)",
}
INDENTS = {"initial_indent": "  ", "subsequent_indent": "    "}
NOTES = """
Difference: to {baseline}, mean over the paired seeds with its 95% interval
(Student's t); other test sentences would move it, too. ECE: expected calibration
error, 10 bins. NLL: negative log-likelihood, nats. Scaled: after temperature scaling
fitted on validation sentences, which any model can have. Total MMD: distance between
keys and queries, summed over layers and heads (unbiased, all tokens pooled). CPU
seconds/step: of all threads, the first step left out."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table.

    Args:
        test: String, where it was measured.
        measure: String, what was.
        values: Dictionary from methods to arrays with one number for each seed.
    """

    test: str
    measure: str
    values: dict

    @property
    def digits(self):
        return 1 if self.measure.endswith("%") else 3

    def difference(self, method):
        """Returns the paired differences of a method to the first one."""
        return self.values[method] - next(iter(self.values.values()))

    def verdict(self, method):
        """Returns in a few words whether a method is better than the first one."""
        difference = self.difference(method)
        interval = comparing.t_interval(difference)
        larger = self.measure in LARGER_IS_BETTER
        return comparing.verdict(difference, interval, larger)


def measures(task, runs):
    """Returns the lines of the table.

    Args:
        task: A `sentences.Task`.
        runs: List of what `RepeatedRuns.run` returned.
    """
    methods = list(dict.fromkeys(run["method"] for run in runs))

    def line(test, measure, read):
        values = {
            method: np.array([read(run) for run in runs if run["method"] == method])
            for method in methods
        }
        return Line(test, measure, values)

    lines = []
    for test in task.tests:
        for key in reported(task):
            factor = 100 if TITLES[key].endswith("%") else 1
            lines.append(
                line(
                    test,
                    TITLES[key],
                    lambda r, t=test, k=key, f=factor: f * r["tests"][t][k],
                )
            )
    lines.append(line("keys and queries", "total MMD", lambda r: r["measure"].total))
    per_step = "cpu_seconds_per_step"
    lines.append(line("training", "CPU seconds/step", lambda r: r[per_step]))
    return lines


def reported(task):
    """Returns the keys of what is reported of each test set."""
    of_classes = () if task.is_regression else ("scaled_ece", "nll")
    return (*task.measures, *of_classes)


def text(task, runs, settings):
    """Returns the table for the terminal, and the differences in words."""
    lines = measures(task, runs)
    methods = list(lines[0].values)
    seeds = len(lines[0].values[methods[0]])
    title = f"{task.name}, {len(settings.sentences(task))} sentences"
    title += f", mean ± standard deviation of {seeds} seeds" if seeds > 1 else ""
    heads = [method.title for method in methods]
    differences = [f"difference of {head}" for head in heads[1:]]
    if len(differences) == 1:
        differences = ["difference"]
    widths = [max(18, len(x)) + 2 for x in heads]
    widths += [max(26, len(x)) + 2 for x in differences]
    head = in_columns(heads + differences, widths)
    width = max(15, *(len(line.test) for line in lines))  # of the first column
    rows = [f"{title}\n", " " * (width + 17) + head]
    for line in lines:
        digits = line.digits
        cells = [comparing.spread(values, digits) for values in line.values.values()]
        differences = map(line.difference, methods[1:])
        cells += [comparing.difference(each, digits) for each in differences]
        row = in_columns(cells, widths)
        rows.append(f"{line.test:{width}} {line.measure:16}{row}")
    rows.append(NOTES.format(baseline=heads[0]))
    rows += [in_words(lines, method) for method in methods[1:]]
    return "\n".join(rows)


def in_columns(cells, widths):
    """Returns a row of right-aligned cells."""
    return "".join(f"{x:>{width}}" for x, width in zip(cells, widths, strict=True))


def in_words(lines, method):
    """Says of each measure whether a method is better, worse or undecided."""
    baseline = next(iter(lines[0].values))
    seeds = len(next(iter(lines[0].values.values())))
    weight = ""
    if method.alignment:
        weight = f", weight {method.alignment_weight:g}"
    said = [f"\n{method.title}{weight}, against {baseline.title}, {seeds} seed(s):"]
    for verdict, title in VERDICTS.items():
        found = [line for line in lines if line.verdict(method) == verdict]
        if found or verdict != "the same":
            text = f"{title}: {named(found, method)}."
            said.append(textwrap.fill(text, 88, **INDENTS))
    expected = len(lines) * (1 - comparing.CONFIDENCE)
    if seeds > 1:
        said.append(
            f"(Of {len(lines)} such intervals about {expected:.0f} misses by chance.)"
        )
    return "\n".join(said)


def named(lines, method):
    """Names measures by test set; of undecided ones, how many seeds would decide."""
    tests = {}
    for line in lines:
        name = line.measure.removesuffix(", %")
        if line.verdict(method) == "undecided":
            name += f" ({comparing.seeds_in_words(line.difference(method))})"
        tests.setdefault(line.test, []).append(name)
    groups = [f"{test} {', '.join(names)}" for test, names in tests.items()]
    return "; ".join(groups) or "nothing"


def write(task, runs, folder):
    """Writes `table.csv`, the printed table, and `runs.csv`, every single run."""
    lines = measures(task, runs)
    methods = list(lines[0].values)
    header = ["test", "measure"]
    for method in methods:
        header += [f"{method.title} {x}" for x in ("mean", "std")]
    for method in methods[1:]:
        of = ("difference", "low", "high", "verdict")
        header += [f"{method.title} {x}" for x in of]
    rows = [
        [line.test, line.measure]
        + [x for values in line.values.values() for x in spread(values)]
        + [x for method in methods[1:] for x in compared(line, method)]
        for line in lines
    ]
    write_csv(folder / "table.csv", header, rows)
    write_runs(task, runs, folder / "runs.csv")


def spread(values):
    """Returns mean and, of several, standard deviation."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else ""
    return float(np.mean(values)), deviation


def compared(line, method):
    """Returns mean difference, the limits of its interval and what they say."""
    difference = line.difference(method)
    low, high = comparing.t_interval(difference)
    limits = (low, high) if len(difference) > 1 else ("", "")
    return float(np.mean(difference)), *limits, line.verdict(method)


def write_runs(task, runs, file):
    """Writes what was measured in each run on each test set."""
    keys = reported(task)
    if not task.is_regression:
        keys = (*keys, "scaled_nll")
    of_run = ("temperature", "seconds_per_step", "cpu_seconds_per_step")
    header = ["attention", "method", "weight", "seed", "test", "sentences", *keys]
    header += ["total_mmd", *of_run]
    rows = [
        [run["method"].title, run["method"].name, run["method"].alignment_weight]
        + [run["seed"], test, len(result["labels"]), *(result[key] for key in keys)]
        + [run["measure"].total, *(run[key] for key in of_run)]
        for run in runs
        for test, result in run["tests"].items()
    ]
    write_csv(file, header, rows)


def write_csv(file, header, rows):
    """Writes a header and rows, in UTF-8."""
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
