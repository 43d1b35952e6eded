"""Labelled sentences of four rated domains.

The four domains are those of Hutto & Gilbert, "VADER: A Parsimonious Rule-based
Model for Sentiment Analysis of Social Media Text", ICWSM 2014: sentences of movie
reviews, Amazon reviews, New York Times editorials and tweets. Each was rated by
about 20 people from -4 (extremely negative) to 4 (extremely positive).
"""

import dataclasses
import functools
import hashlib
import html
import itertools
import json
import random
import re

import numpy as np

# A mean rating is that of some 20 people whose ratings spread by 0.7 to 0.9, so it
# is known to about 0.2. From 0.5 on, more than two and a half standard errors from
# 0, the sign of the mean is a safe label; below, it is a coin's. The threshold
# keeps 95% of the movie reviews, 80% of the Amazon reviews, 57% of the editorials
# (many only report) and 82% of the tweets.
SMALLEST_RATING = 0.5

# The split and the choice of test sentences belong to the data set, not to a run:
# they stay the same for all seeds of the training.
SPLIT_SEED = 20110

DOMAINS = {
    "movies": "movieReviewSnippets_GroundTruth.txt",
    "Amazon": "amazonReviewSnippets_GroundTruth.txt",
    "NYT": "nytEditorialSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
}


@dataclasses.dataclass(frozen=True)
class Sentences:
    """Sentences, or pairs of sentences, with the index of each one's class.

    Args:
        columns: Tuple of one or two lists of strings of the same length.
        labels: Array of integers of that length, or of floats where a number is to be
            predicted.
    """

    columns: tuple
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)

    def take(self, indices):
        """Returns the sentences at `indices`, in that order."""
        columns = tuple([column[i] for i in indices] for column in self.columns)
        return Sentences(columns, self.labels[list(indices)])

    def first(self, count):
        """Returns the first `count` sentences, or all if there are fewer."""
        return self.take(range(min(count, len(self))))

    def split(self, *counts):
        """Shuffles, and splits into sets of `counts` sentences and one of the rest."""
        order = list(range(len(self)))
        random.Random(SPLIT_SEED).shuffle(order)
        borders = np.cumsum((0, *counts, len(self) - sum(counts)))
        return [self.take(order[a:b]) for a, b in itertools.pairwise(borders)]


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model is trained on and where it is tested.

    Args:
        name: String, for titles.
        classes: List of strings, the names of the classes; empty where a number is to
            be predicted.
        train: `Sentences` in random order.
        validation: `Sentences` on which the temperature is fitted.
        tests: Dictionary from names to `Sentences`; the first is in domain.
        measures: Tuple of keys of what `finetuning.score` returns, those to report.
    """

    name: str
    classes: list
    train: Sentences
    validation: Sentences
    tests: dict
    measures: tuple = ("accuracy", "ece")

    @property
    def is_regression(self):
        return not self.classes

    def checked(self):
        """Returns the task; `ValueError` if a part of it is empty or has other columns.

        A multiple choice is no pair, and a pair no sentence.
        """
        parts = {"training": self.train, "validation": self.validation} | self.tests
        columns = len(self.train.columns)
        for name, part in parts.items():
            if not len(part) or len(part.columns) != columns:
                raise ValueError(
                    f"{self.name}: expected sentences of {columns} column(s) for "
                    f"{name}. Received: {len(part)} of {len(part.columns)} column(s)"
                )
        return self

    @functools.cached_property
    def digest(self):
        """A short text that other sentences or labels change."""
        return digest(dataclasses.asdict(self))

    @property
    def outputs(self):
        """How many numbers a model returns for a sentence."""
        return len(self.classes) or 1


def digest(data):
    """Returns a short text that depends on all that is in some data."""
    text = json.dumps(data, default=np.ndarray.tolist)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def rated_sentences(folder, test_size=1000):
    """Returns the task "movie reviews", to be tested on all four domains.

    Args:
        folder: Path of the folder with the four files of ratings.
        test_size: Integer, the most sentences in each test set, drawn at random.

    Returns:
        A `Task`. The movie reviews are split into `test_size` sentences for the
        test, 1000 for validation and the rest for training. No sentence occurs
        twice in a domain nor in two of them, compared without regard to case and
        punctuation.
    """
    seen = set()
    domains = {name: read_rated(folder / file, seen) for name, file in DOMAINS.items()}
    movies, validation, train = domains["movies"].split(test_size, 1000)
    tests = {name: s.split(0)[1].first(test_size) for name, s in domains.items()}
    tests["movies"] = movies
    return Task("movie reviews", ["negative", "positive"], train, validation, tests)


def read_rated(file, seen):
    """Reads the lines `id, mean rating, text` of one domain.

    Args:
        file: Path.
        seen: Set of the normalised sentences that occurred before; is extended.
    """
    texts, labels = [], []
    for line in file.read_text(encoding="utf-8").strip().split("\n"):
        _, rating, text = line.split("\t")
        text = html.unescape(text).strip()
        normalised = normalise(text) or text  # a smiley has no words
        if abs(float(rating)) < SMALLEST_RATING or normalised in seen | {""}:
            continue
        seen.add(normalised)
        texts.append(text)
        labels.append(int(float(rating) > 0))
    return Sentences((texts,), np.array(labels, "int32"))


def normalise(text):
    """Returns the words of `text`, without case, punctuation and spacing."""
    return " ".join(re.findall(r"\w+", text.lower()))
