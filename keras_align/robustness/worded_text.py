"""A text, or a tuple of texts, as words that can be replaced one by one."""

import re

Text = str | tuple[str, ...]

_WORD = re.compile(r"([^\W_]+(?:['\u2019][^\W_]+)*)")


class WordedText:
    """Words and what lies between them; a word keeps its number when it is replaced.

    Args:
        text: str, or a tuple of them, as a pair of sentences.

    Example:

    >>> from keras_align.robustness.worded_text import WordedText
    >>> text = WordedText("A good film.")
    >>> text.words, text.replaced(1, "go od").text
    (['A', 'good', 'film'], 'A go od film.')
    """

    def __init__(self, text: Text) -> None:
        parts = (text,) if isinstance(text, str) else tuple(text)
        self._is_single = isinstance(text, str)
        self._pieces = [_WORD.split(part) for part in parts]  # odd ones are words
        self._places = [
            (part, piece)
            for part, pieces in enumerate(self._pieces)
            for piece in range(1, len(pieces), 2)
        ]

    @property
    def words(self) -> list[str]:
        """The words of all parts."""
        return [self._pieces[part][piece] for part, piece in self._places]

    @property
    def text(self) -> Text:
        """The text, a tuple if it was one."""
        texts = tuple("".join(pieces) for pieces in self._pieces)
        return texts[0] if self._is_single else texts

    def part_of(self, number: int) -> int:
        """The number of the part that a word is in."""
        return self._places[number][0]

    def replaced(self, number: int, new: str) -> "WordedText":
        """The text with `new` in the place of a word; an empty one deletes it."""
        part, piece = self._places[number]
        other = object.__new__(WordedText)
        other._is_single, other._places = self._is_single, self._places
        other._pieces = list(self._pieces)
        other._pieces[part] = list(self._pieces[part])
        other._pieces[part][piece] = new
        return other
