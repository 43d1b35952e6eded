"""The attacks: edits of characters, and swaps for neighbouring words."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_align.robustness.word_attack import WordAttack
from keras_align.robustness.worded_text import Text, WordedText
from keras_align.validation import checks

# Cyrillic letters that look like Latin ones.
_HOMOGLYPHS = dict(
    zip(
        "aceijopsxy",
        "\u0430\u0441\u0435\u0456\u0458\u043e\u0440\u0455\u0445\u0443",
        strict=True,
    )
)
_SHORTEST = 3  # characters of a word that is edited


class CharacterAttack(WordAttack):
    """Edits characters of words, as TextBugger does without its word embeddings.

    A word is replaced by it with a space inside, without a character, with two
    neighbours swapped, or with a letter that looks alike from another alphabet, each
    at a random place; the first and last characters stay, but for the last kind.

    Source: Li et al., "TextBugger", NDSS 2019, section III.B, bugs 1 to 4.

    Args:
        **options: of `WordAttack`.
    """

    def candidates(self, words: list[str], number: int, rng: Any) -> list[str]:
        word = words[number]
        if len(word) < _SHORTEST:
            return []
        inner = range(1, len(word) - 1)
        alike = [k for k, letter in enumerate(word) if letter in _HOMOGLYPHS]
        edits = [_with(word, _drawn(rng, range(1, len(word))), " ", 0)]
        edits.append(_with(word, _drawn(rng, inner), "", 1))
        if len(inner) > 1:
            k = _drawn(rng, inner[:-1])
            edits.append(_with(word, k, word[k + 1] + word[k], 2))
        if alike:
            k = _drawn(rng, alike)
            edits.append(_with(word, k, _HOMOGLYPHS[word[k]], 1))
        return [edit for edit in dict.fromkeys(edits) if edit != word]


class WordSwapAttack(WordAttack):
    """Replaces words by neighbours that are given, a TextFooler-like attack.

    Source: Jin et al., "Is BERT Really Robust?", AAAI 2020. Differences: neighbours are
    a ready list, and parts of speech and similarity are as good as what is passed.

    Args:
        neighbors: mapping from words in lower case to sequences of words, the nearest
            first, as of counter-fitted vectors.
        max_neighbors: int, of a word. Defaults to `50`.
        part_of_speech: callable from a list of words, a text, to a sequence of their
            tags; a word is then replaced by one of the same tag alone. Defaults to
            `None`.
        **options: of `WordAttack`.
    """

    def __init__(
        self,
        neighbors: Mapping[str, Sequence[str]],
        max_neighbors: int = 50,
        part_of_speech: Callable[[list[str]], Sequence[str]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not isinstance(neighbors, Mapping):
            raise TypeError(
                "Argument `neighbors` must map words to sequences of words. Received: "
                f"{type(neighbors)}"
            )
        checks.positive_integer("max_neighbors", max_neighbors)
        self.neighbors = {
            str(word).lower(): _checked(word, near) for word, near in neighbors.items()
        }
        self.max_neighbors = int(max_neighbors)
        self.part_of_speech = part_of_speech

    def candidates(self, words: list[str], number: int, rng: Any) -> list[str]:
        word = words[number]
        found = self.neighbors.get(word.lower(), ())
        near = [each for each in found if each.lower() != word.lower()]
        near = [_cased(each, word) for each in near[: self.max_neighbors]]
        if self.part_of_speech is None or not near:
            return near
        before, after = words[:number], words[number + 1 :]
        tag = _tags(self.part_of_speech, words)[number]
        return [
            x
            for x in near
            if _tags(self.part_of_speech, [*before, x, *after])[number] == tag
        ]

    def probe(self, texts: Sequence[Text]) -> dict[str, list]:
        found = super().probe(texts)
        if self.part_of_speech is not None:
            words = (WordedText(text).words for text in texts)
            found["tags"] = [
                " ".join(map(str, _tags(self.part_of_speech, each))) for each in words
            ]
        return found

    def _digest(self):
        text = json.dumps(sorted((w, list(x)) for w, x in self.neighbors.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def settings(self) -> dict[str, Any]:
        own = {
            "neighbors": self._digest(),
            "max_neighbors": self.max_neighbors,
            "part_of_speech": self.part_of_speech is not None,
        }
        return super().settings() | own


def _checked(word, near):
    texts = isinstance(near, Sequence) and not isinstance(near, str)
    if (
        not isinstance(word, str)
        or not texts
        or not all(isinstance(each, str) and each for each in near)
    ):
        raise TypeError(
            "Argument `neighbors` must map words to sequences of words. Received: "
            f"{near!r} for {word!r}"
        )
    return near


def _tags(part_of_speech, words):
    tags = list(part_of_speech(words))
    if len(tags) != len(words):
        raise ValueError(
            f"Argument `part_of_speech` must return a tag for each of the words "
            f"{words}. Received: {tags}"
        )
    return tags


def _drawn(rng, places):
    return int(places[int(rng.integers(len(places)))])


def _with(word, place, new, length):
    """The word with `new` instead of `length` characters at a place."""
    return word[:place] + new + word[place + length :]


def _cased(new, word):
    """A new word in the case of the one that it replaces."""
    if word.isupper() and len(word) > 1:
        return new.upper()
    return new[:1].upper() + new[1:] if word[:1].isupper() else new
