"""The tables of `fine_tuning.py`: means over seeds, and paired differences."""

import comparing
import numpy as np
import sentences
import typos

INSIDE, *OUTSIDE = sentences.DOMAINS
SCORES = {"accuracy": ("acc, %", 100), "ece": ("ECE, %", 100), "nll": ("NLL", 1)}
GROUPS = {
    INSIDE: [INSIDE],
    "out of domain": OUTSIDE,
    "typos": [INSIDE + typos.SUFFIX],
}
# Heads of the columns, and the digits that are shown.
COLUMNS = {
    f"{group} {title}": 1 if title.endswith("%") else 3
    for group in GROUPS
    for title, _ in SCORES.values()
}
COLUMNS |= {"MMD": 2}
BASELINE = ("soft", "0.0", "")
# Shown after temperature scaling, too.
SCALED = ("soft", "label_smoothing", "ct", "ct_all_layers")


def text(rows, regime):
    """Returns tables in Markdown, two for each regime.

    Args:
        rows: List of dictionaries of strings, the rows of the file.
        regime: Tuple of the names of the columns that say how models were trained.
    """
    parts = []
    for values in dict.fromkeys(tuple(row[name] for name in regime) for row in rows):
        chosen = [row for row in rows if tuple(row[name] for name in regime) == values]
        said = ", ".join(
            f"{name.replace('_', ' ')} {value}"
            for name, value in zip(regime, values, strict=True)
        )
        methods = by_method(chosen)
        parts.append(f"{said}. Mean ± standard deviation over the seeds:")
        parts.append(table(methods, means))
        if BASELINE in methods:
            parts.append(
                "Mean of the paired differences to soft attention [95% interval over "
                "the seeds, Student's t], * where it does not contain 0:"
            )
            parts.append(table(methods, differences))
    return "\n\n".join(parts)


def by_method(rows):
    """Returns for each (method, weight, matched) the values of `COLUMNS` by seed.

    Methods of `SCALED` are there before and after temperature scaling.
    """
    methods = {}
    for row in rows:
        method = row["method"], row["weight"], row["matched"]
        methods.setdefault(method, {})[int(row["seed"])] = summary(row)
        if row["method"] in SCALED:
            scaled = f"{method[0]}, temperature scaled", *method[1:]
            numbers = summary(row, prefix="scaled_")
            methods.setdefault(scaled, {})[int(row["seed"])] = numbers
    return methods


def summary(row, prefix=""):
    """Returns an array of the numbers of `COLUMNS` of one run.

    With the prefix "scaled_" calibration and likelihood are those after temperature
    scaling, which changes neither accuracy nor the rest.
    """
    numbers = []
    for tests in GROUPS.values():
        for key, (_, factor) in SCORES.items():
            key = key if key == "accuracy" else prefix + key
            values = [float(row[f"{test} {key}"]) for test in tests]
            numbers.append(factor * np.mean(values))
    return np.array([*numbers, float(row["mmd"])])


def table(methods, cells):
    """Returns a table in Markdown; `cells(methods, method)` makes a line, or `None`."""
    heads = ["method", "weight", "matched", "seeds", *COLUMNS]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for method, of_seeds in methods.items():
        made = cells(methods, method)
        if made is not None:
            line = [*method[:2], method[2] or "no", str(len(of_seeds)), *made]
            lines.append(f"| {' | '.join(line)} |")
    return "\n".join(lines)


def means(methods, method):
    """Returns mean ± standard deviation of each column."""
    values = np.array(list(methods[method].values()))
    made = []
    for column, digits in zip(values.T, COLUMNS.values(), strict=True):
        cell = f"{column.mean():.{digits}f}"
        if len(column) > 1:
            cell += f" ± {column.std(ddof=1):.{digits}f}"
        made.append(cell)
    return made


def differences(methods, method):
    """Returns mean difference and interval of each column, `None` for the baseline."""
    baseline, own = methods[BASELINE], methods[method]
    seeds = [seed for seed in own if seed in baseline]
    if method == BASELINE or not seeds:
        return None
    values = np.array([own[seed] - baseline[seed] for seed in seeds])
    made = []
    for column, digits in zip(values.T, COLUMNS.values(), strict=True):
        cell = f"{column.mean():+.{digits}f}"
        if len(column) > 1:
            low, high = comparing.t_interval(column)
            cell += f" [{low:+.{digits}f}, {high:+.{digits}f}]"
            cell += " *" if low > 0 or high < 0 else ""
        made.append(cell)
    return made
