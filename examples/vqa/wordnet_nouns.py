"""The nouns of WordNet and how near two of them are, from the files of the database.

Its folder has `index.noun`, `data.noun` and `noun.exc` in the format that
wordnet.princeton.edu/documentation/wndb5wn describes: that of Princeton's archive, of
NLTK's corpus, or of a package of the system.
"""

import functools
import pathlib

HYPERNYM = ("@", "@i")
ENDINGS = {"ses": "s", "ves": "f", "xes": "x", "zes": "z", "ches": "ch", "shes": "sh"}
ENDINGS |= {"men": "man", "ies": "y", "s": ""}  # of the plural, as in morphy(7WN)


class Nouns:
    """Senses of nouns and what each is a kind of.

    Args:
        folder: Folder of the database.

    Raises:
        FileNotFoundError: If a file is not there.
    """

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self._senses = dict(map(_senses, _lines(folder / "index.noun")))
        self._kinds = dict(map(_kinds, _lines(folder / "data.noun")))
        forms = [line.split() for line in _lines(folder / "noun.exc")]
        self._singular = {form[0]: form[1] for form in forms}

    @functools.cache  # noqa: B019
    def similarity(self, word, other):
        """Returns that of the two nearest senses, 0.0 if a word is no noun."""
        near = [
            self.wu_palmer(a, b)
            for a in self.senses(word)
            for b in self.senses(other)
        ]  # fmt: skip
        return max(near, default=0.0)

    def senses(self, word):
        """Returns the senses of a noun, those of its singular too."""
        word = word.lower().replace(" ", "_")
        ends = [word.removesuffix(end) + new for end, new in ENDINGS.items()
                if word.endswith(end)]  # fmt: skip
        forms = (word, self._singular.get(word), *ends)
        return [sense for form in forms for sense in self._senses.get(form, ())]

    def wu_palmer(self, sense, other):
        """Returns `2 d / (p + q + 2 d)` (Wu and Palmer 1994).

        `p` and `q` are the fewest steps to the deepest kind that both senses are of, by
        its shortest way to the root, and `d` is its depth by the longest, 1 for the
        root. NLTK differs slightly for a few words of several such ways.
        """
        up, other_up = self._steps(sense), self._steps(other)
        shared = up.keys() & other_up.keys()
        if not shared:
            return 0.0
        deepest = max(self._depth(kind, min) for kind in shared)

        def near(kind):
            depth = 1 + self._depth(kind, max)
            return 2 * depth / (up[kind] + other_up[kind] + 2 * depth)

        return max(near(kind) for kind in shared if self._depth(kind, min) == deepest)

    @functools.cache  # noqa: B019
    def _steps(self, sense):
        """Returns a dictionary from all kinds of a sense to the fewest steps."""
        steps, now, count = {}, {sense}, 0
        while now:
            steps |= dict.fromkeys(now, count)
            now = {kind for one in now for kind in self._kinds[one]} - steps.keys()
            count += 1
        return steps

    @functools.cache  # noqa: B019
    def _depth(self, sense, of_several):
        """Returns the number of steps to the root, `min` or `max` of several ways."""
        kinds = self._kinds[sense]
        depths = [1 + self._depth(kind, of_several) for kind in kinds]
        return of_several(depths, default=0)


def _lines(file):
    with file.open(encoding="latin-1") as stream:
        yield from (line for line in stream if not line.startswith("  "))


def _senses(line):
    """Returns a word of `index.noun` and its senses."""
    word, _, count, *rest = line.split()
    return word, rest[-int(count) :]


def _kinds(line):
    """Returns a sense of `data.noun` and what it is a kind of."""
    sense, _, _, words, *rest = line.split()
    pointers = rest[2 * int(words, 16) + 1 :]
    return sense, [
        target
        for symbol, target in zip(pointers[::4], pointers[1::4], strict=False)
        if symbol in HYPERNYM
    ]
