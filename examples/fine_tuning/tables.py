"""The results of `finetune_bert.py` as a printed table and as CSV files."""

import csv

import numpy as np

TITLES = {
    "accuracy": "accuracy, %",
    "matthews": "Matthews, %",
    "ece": "ECE, %",
}


def name(alignment):
    """Returns what an attention is called in tables and pictures."""
    if alignment in (None, "none"):
        return "soft attention"
    return f"alignment ({alignment})"


def measures(task, runs):
    """Returns the lines of the table.

    Args:
        task: A `sentences.Task`.
        runs: List of dictionaries from `finetuning.run_one`.

    Returns:
        List of tuples `(what, measure, values)`, where `values` is a dictionary
        from each alignment to an array with one number per seed.
    """
    alignments = list(dict.fromkeys(run["alignment"] for run in runs))

    def collect(read):
        return {
            alignment: np.array([read(r) for r in runs if r["alignment"] == alignment])
            for alignment in alignments
        }

    lines = []
    for test in task.tests:
        for key in task.measures:
            values = collect(lambda r, t=test, k=key: 100 * r["tests"][t][k])
            lines.append((test, TITLES[key], values))
    mmd = collect(lambda r: r["measure"].total)
    lines.append(("keys, queries", "total MMD", mmd))
    seconds = collect(lambda r: r["seconds_per_step"])
    lines.append(("training", "seconds/step", seconds))
    return lines


def text(task, runs, settings):
    """Returns the table for the terminal.

    With several seeds, a cell is mean ± standard deviation over the seeds; the last
    column is that of the differences between runs with the same seed.
    """
    lines = measures(task, runs)
    alignments = list(lines[0][2])
    seeds = len(next(iter(lines[0][2].values())))
    heads = [name(alignment) for alignment in alignments]
    heads += ["difference"] if len(alignments) > 1 else []
    title = f"{task.name}, {min(settings.train_size, len(task.train))} sentences"
    title += f", mean ± standard deviation of {seeds} seeds" if seeds > 1 else ""
    width = max(15, *(len(what) for what, _, _ in lines))  # of the first column
    cell_width = max(18, *(len(head) + 2 for head in heads))
    head = "".join(f"{head:>{cell_width}}" for head in heads)
    rows = [f"{title}\n", " " * (width + 14) + head]
    for what, measure, values in lines:
        digits = 1 if measure.endswith("%") else 3
        cells = [cell(values[alignment], digits) for alignment in alignments]
        if len(alignments) > 1:
            difference = values[alignments[1]] - values[alignments[0]]
            cells.append(cell(difference, digits, sign="+"))
        row = "".join(f"{c:>{cell_width}}" for c in cells)
        rows.append(f"{what:{width}} {measure:13}{row}")
    rows.append(
        "\nECE: expected calibration error, 10 bins. Total MMD: distance between keys "
        "and\nqueries, summed over layers and heads (unbiased, all tokens pooled)."
    )
    if len(alignments) > 1:
        rows[-1] += f"\nWeight of the alignment loss: {runs[-1]['weight']:g}."
    return "\n".join(rows)


def cell(values, digits, sign=""):
    """Writes one number, or mean ± standard deviation of several."""
    mean = f"{np.mean(values):{sign}.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def write(task, runs, folder):
    """Writes `table.csv`, the printed table, and `runs.csv`, every single run."""
    lines = measures(task, runs)
    alignments = list(lines[0][2])
    header = ["test", "measure"]
    for alignment in alignments:
        header += [f"{name(alignment)} mean", f"{name(alignment)} std"]
    rows = []
    for what, measure, values in lines:
        row = [what, measure]
        for alignment in alignments:
            row.append(float(np.mean(values[alignment])))
            several = len(values[alignment]) > 1
            row.append(float(np.std(values[alignment], ddof=1)) if several else "")
        rows.append(row)
    write_csv(folder / "table.csv", header, rows)
    header = ["attention", "weight", "seed", "test", "sentences", *task.measures]
    header += ["total_mmd", "seconds_per_step"]
    rows = [
        [name(run["alignment"]), run["weight"], run["seed"], test]
        + [len(result["labels"]), *(result[key] for key in task.measures)]
        + [run["measure"].total, run["seconds_per_step"]]
        for run in runs
        for test, result in run["tests"].items()
    ]
    write_csv(folder / "runs.csv", header, rows)


def write_csv(file, header, rows):
    """Writes a header and rows, in UTF-8."""
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
