"""Questions and texts as inputs of a model, long texts as windows that overlap.

As in Devlin et al. (2019) and its code: a window has the question and as much of the
text as fits, and windows begin `stride` tokens after each other. (How the answers of
windows are compared differs, see `answers.find_answers`.) The tokens of a text are
those that the tokenizer gives for the whole of it, see `token_spans`.
"""

import dataclasses
import re

import numpy as np
import token_spans

from keras_align.validation import checks

# A word, or any other character but white space.
_PIECE = re.compile(r"\w+|[^\w\s]")
_LONGEST_QUESTION = 64  # tokens


@dataclasses.dataclass(frozen=True)
class Window:
    """Which tokens of a text a row has.

    Args:
        question: Integer, the index of the question.
        begin: Integer, the place in the row of the first token of the text.
        first: Integer, the place in the text of this token.
        size: Integer, how many tokens of the text there are.
    """

    question: int
    begin: int
    first: int
    size: int

    @property
    def end(self):
        """The place in the row behind the last token of the text."""
        return self.begin + self.size


class Text:
    """A text with the tokens that a tokenizer gives for the whole of it.

    Answers begin and end with a word or a character that is none: `starts` and `ends`
    are those of the words in which a token begins and ends. A token of white space
    alone belongs to the word behind it. A text without words has no tokens.

    Args:
        text: String.
        read: Callable from a text to token ids and their spans of characters, as
            `token_spans.reader_of` returns.
    """

    def __init__(self, text, read):
        self.text = text
        words = np.array([match.span() for match in _PIECE.finditer(text)])
        self.tokens, spans = read(text) if len(words) else ([], [])
        if not self.tokens:
            self.starts = self.ends = np.zeros(0, "int64")
            return
        (starts, ends), (begins, stops) = np.transpose(words), np.transpose(spans)
        # The first word that ends behind the first character, or the last of all.
        first = np.searchsorted(ends, begins, side="right")
        first = np.minimum(first, len(words) - 1)
        last = np.searchsorted(starts, stops, side="left") - 1
        self.starts = starts[first]
        self.ends = ends[np.maximum(first, last)]

    def between(self, first, last):
        """Returns the text from one token to another."""
        return self.text[self.starts[first] : self.ends[last]]

    def tokens_of(self, start, end):
        """Returns the first and last token of the characters from `start` to `end`.

        `None` if no token is there.
        """
        (within,) = np.nonzero((self.starts < end) & (self.ends > start))
        return (int(within[0]), int(within[-1])) if len(within) else None


class Windows:
    """The inputs of questions about texts.

    Args:
        preprocessor: A `keras_nlp.models.TextClassifierPreprocessor`, which says how
            two segments are packed. Its tokenizer is WordPiece, byte-level BPE or
            SentencePiece.
        questions: List of strings.
        texts: List of as many strings.
        sequence_length: Integer, the tokens of a row.
        stride: Integer, the tokens between the beginnings of windows, at most those
            that fit.

    Attributes:
        inputs: Dictionary of arrays (windows, T).
        windows: List of `Window`s, one for each row.
        texts: List of `Text`s, one for each question.

    Raises:
        ValueError: If the tokenizer is of another kind, if its tokens are not found in
            a text, or if a row has no room for the text.
    """

    def __init__(self, preprocessor, questions, texts, sequence_length=384, stride=128):
        tokenizer, self._known = preprocessor.tokenizer, {}
        if not preprocessor.built:
            preprocessor.build(None)
        self.packer = preprocessor.packer
        checks.positive_integer("stride", stride)
        self.length, self.stride = sequence_length, stride
        self._read = token_spans.reader_of(tokenizer)
        self.texts = [self._text(text) for text in texts]
        asked = token_spans.tokenize(tokenizer, list(questions))
        self.windows, segments = [], []
        for number, (question, text) in enumerate(zip(asked, self.texts, strict=True)):
            question = question[: min(_LONGEST_QUESTION, self.length // 2)]
            for first, tokens in self._cut(question, text):
                segments.append((question, tokens))
                begin = self._before(question)
                self.windows.append(Window(number, begin, first, len(tokens)))
        self.inputs = self._pack(segments)

    def _before(self, question):
        """How many tokens a row has in front of the text."""
        packer = self.packer
        return len(packer.start_value) + len(question) + len(packer.sep_value)

    def _text(self, text):
        if text not in self._known:
            self._known[text] = Text(text, self._read)
        return self._known[text]

    def _cut(self, question, text):
        """Yields the first token and the tokens of each window of a text."""
        room = self.length - self._before(question) - len(self.packer.end_value)
        if room < 1:
            raise ValueError(
                "Argument `sequence_length` must leave room for the text beside a "
                f"question of {len(question)} tokens. Received: {self.length}"
            )
        for begin in range(0, max(len(text.tokens), 1), min(self.stride, room)):
            yield begin, text.tokens[begin : begin + room]
            if begin + room >= len(text.tokens):
                return

    def _pack(self, segments):
        """Returns rows of both segments, filled up with padding."""
        packer = self.packer
        shape = len(segments), self.length
        inputs = {
            "token_ids": np.full(shape, packer.pad_value or 0, "int32"),
            "segment_ids": np.zeros(shape, "int32"),
            "padding_mask": np.zeros(shape, bool),
        }
        for row, (question, tokens) in enumerate(segments):
            first = [*packer.start_value, *question, *packer.sep_value]
            second = [*tokens, *packer.end_value]
            end = len(first) + len(second)
            inputs["token_ids"][row, :end] = first + second
            inputs["segment_ids"][row, len(first) : end] = 1
            inputs["padding_mask"][row, :end] = True
        return inputs

    def targets(self, answers):
        """Returns the tokens where answers start and end.

        Args:
            answers: List with a pair of characters, from and to, for each question, or
                `None` where there is no answer.

        Returns:
            A dictionary with "start" and "end", int32 arrays (windows,). Both are 0,
            the first token, for a window without the whole answer.
        """
        spans = [
            None if answer is None else text.tokens_of(*answer)
            for text, answer in zip(self.texts, answers, strict=True)
        ]
        found = np.zeros((2, len(self.windows)), "int32")
        for row, window in enumerate(self.windows):
            span, first = spans[window.question], window.first
            if span and first <= span[0] and span[1] < first + window.size:
                found[:, row] = [window.begin + place - first for place in span]
        return {"start": found[0], "end": found[1]}
