"""Typing errors in sentences, the same ones each time."""

import dataclasses
import random
import re

from sentences import Sentences

LONG_WORD = re.compile(r"[^\W\d_]{4,}")  # more than three letters
SHARE = 0.3
SUFFIX = " with typos"
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # of a QWERTY keyboard


def with_typos(task, share=SHARE):
    """Returns a task that is also tested on its first test set with typing errors."""
    name, sentences = next(iter(task.tests.items()))
    mistyped = mistyped_sentences(sentences, share)
    return dataclasses.replace(task, tests=task.tests | {name + SUFFIX: mistyped})


def mistyped_sentences(sentences, share=SHARE):
    """Returns sentences with a typing error in some of their words.

    Args:
        sentences: `Sentences`.
        share: Float in [0, 1]. Each word of more than three letters gets an error
            with this probability.
    """
    columns = [[mistype(text, share) for text in texts] for texts in sentences.columns]
    return Sentences(tuple(columns), sentences.labels)


def mistype(text, share=SHARE):
    """Returns a text with a typing error in a share of its long words.

    An error is, each with the same probability, that two neighbouring letters are
    swapped, a letter is left out, or the key beside it is struck (Pruthi et al., 2019,
    https://arxiv.org/abs/1905.11268). The first letter of a word stays. The text alone
    decides which errors it gets.
    """
    draw = random.Random(text)

    def change(word):
        letters = word.group()
        if draw.random() >= share:
            return letters
        return draw.choice((swap, leave_out, strike_neighbour))(letters, draw)

    return LONG_WORD.sub(change, text)


def swap(word, draw):
    """Swaps two neighbouring letters that differ; leaves one out if none do."""
    places = [n for n in range(1, len(word) - 1) if word[n] != word[n + 1]]
    if not places:
        return leave_out(word, draw)
    n = draw.choice(places)
    return word[:n] + word[n + 1] + word[n] + word[n + 2 :]


def leave_out(word, draw):
    """Leaves out a letter."""
    n = draw.randrange(1, len(word))
    return word[:n] + word[n + 1 :]


def strike_neighbour(word, draw):
    """Replaces a letter by one beside it on the keyboard; leaves out other letters."""
    n = draw.randrange(1, len(word))
    letter = word[n].lower()
    row = next((row for row in ROWS if letter in row), None)
    if row is None:
        return word[:n] + word[n + 1 :]
    place = row.index(letter)
    near = draw.choice(row[max(place - 1, 0) : place] + row[place + 1 : place + 2])
    return word[:n] + (near.upper() if word[n].isupper() else near) + word[n + 1 :]
