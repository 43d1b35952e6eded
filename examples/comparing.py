"""Paired differences over seeds: their intervals, and what can be said of them."""

import numpy as np
from scipy import stats

from keras_align.diagnostics.reporting import format_table

CONFIDENCE = 0.95
MOST_SEEDS = 100  # more are not counted


def t_interval(differences):
    """Returns the limits of the 95% interval of the mean, by Student's t.

    NaN if there is one difference alone.
    """
    mean, count = np.mean(differences), len(differences)
    if count < 2:
        return np.nan, np.nan
    half = _half_width(np.std(differences, ddof=1), count)
    return float(mean - half), float(mean + half)


def seeds_to_decide(differences):
    """Returns how many seeds would decide if the mean difference stayed as it is.

    That is the smallest number with which half of the t interval, with the standard
    deviation of these differences, is less than their mean; more than are there, and
    `None` above `MOST_SEEDS` or if it cannot be known.
    """
    if len(differences) < 2:
        return None
    mean, deviation = abs(np.mean(differences)), np.std(differences, ddof=1)
    for count in range(len(differences) + 1, MOST_SEEDS + 1):
        if _half_width(deviation, count) < mean:
            return count
    return None


def spread(values, digits):
    """Writes one number, or mean ± standard deviation of several."""
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def difference(differences, digits):
    """Writes the mean of paired differences, with its interval if there are several."""
    mean = f"{np.mean(differences):+.{digits}f}"
    if len(differences) == 1:
        return mean
    low, high = t_interval(differences)
    return f"{mean} [{low:+.{digits}f}, {high:+.{digits}f}]"


def table(by_method, lines):
    """Returns a table of scores, with paired differences to the first method.

    A seed whose score is NaN, as that of a run that diverged, is left out, with its
    pair; how many are left then stands beside the numbers.

    Args:
        by_method: Dictionary from titles of methods to lists of rows, of the same seeds
            in the same order.
        lines: Iterable of tuples: the key of a row, a title, a factor, and digits. A
            score that no row has, NaN everywhere, is left out.
    """
    first, *others = by_method
    titles = ["", first, *others, *(f"{title} - {first}" for title in others)]
    rows = []
    for name, title, factor, digits in lines:
        values = [
            factor * np.array([float(row[name]) for row in of_method])
            for of_method in by_method.values()
        ]
        if not np.isnan(values).all():
            cells = [_finite(spread, each, digits) for each in values]
            differences = [each - values[0] for each in values[1:]]
            cells += [_finite(difference, each, digits) for each in differences]
            rows.append([title, *cells])
    return "\n".join(format_table(titles, rows, range(1, len(titles))))


def _finite(write, values, digits):
    """Writes the values that are numbers, and how many if not all are."""
    finite = values[~np.isnan(values)]
    if len(finite) == len(values):
        return write(values, digits)
    text = write(finite, digits) if len(finite) else "none"
    return f"{text} ({len(finite)} of {len(values)})"


def verdict(differences, interval, larger_is_better):
    """Returns "better", "worse", "the same" or "undecided".

    Args:
        differences: Array, one number for each seed.
        interval: Tuple, the limits of the interval of their mean.
        larger_is_better: Bool, whether a positive difference is an improvement.
    """
    low, high = interval
    if not np.any(differences):
        return "the same"
    if low > 0 or high < 0:
        return "better" if (low > 0) == larger_is_better else "worse"
    return "undecided"


def seeds_in_words(differences):
    """Returns about how many seeds would decide, see `seeds_to_decide`."""
    if len(differences) < 2:
        return "one seed shows no spread"
    count = seeds_to_decide(differences)
    return f"more than {MOST_SEEDS}" if count is None else str(count)


def _half_width(deviation, count):
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)
    return quantile * deviation / count**0.5
