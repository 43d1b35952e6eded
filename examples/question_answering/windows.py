"""Questions and texts as inputs of a model, long texts as windows that overlap.

As in Devlin et al. (2019) and its code: a window has the question and as much of the
text as fits, and windows begin `stride` tokens after each other. Words are tokenized
one by one, which for WordPiece and byte-level BPE gives the tokens of the whole text.
"""

import dataclasses
import re

import numpy as np

from keras_align.validation import checks

# A word with the white space in front of it, or any other character.
_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])")
_LONGEST_QUESTION = 64  # tokens


@dataclasses.dataclass(frozen=True)
class Window:
    """Where the tokens of a row come from.

    Args:
        question: Integer, the index of the question.
        begin: Integer, the place in the row of the first token of the text.
        pieces: List with the index of the piece of each of these tokens.
    """

    question: int
    begin: int
    pieces: list

    @property
    def end(self):
        """The place behind the last token of the text."""
        return self.begin + len(self.pieces)


class Text:
    """A text in pieces, each with its tokens.

    Args:
        text: String.
        tokenize: Callable from a list of strings to lists of token ids.
    """

    def __init__(self, text, tokenize):
        self.text = text
        matches = list(_PIECE.finditer(text))
        found = tokenize([match.group() for match in matches]) if matches else []
        self.starts = [m.end() - len(m.group().lstrip()) for m in matches]
        self.ends = [match.end() for match in matches]
        self.tokens = [token for piece in found for token in piece]
        self.pieces = [n for n, piece in enumerate(found) for _ in piece]

    def between(self, first, last):
        """Returns the text from one piece to another."""
        return self.text[self.starts[first] : self.ends[last]]

    def tokens_of(self, start, end):
        """Returns the first and last token of the characters from `start` to `end`.

        `None` if no token is there.
        """
        within = [
            place
            for place, piece in enumerate(self.pieces)
            if self.starts[piece] < end and self.ends[piece] > start
        ]
        return (within[0], within[-1]) if within else None


class Windows:
    """The inputs of questions about texts.

    Args:
        preprocessor: A `keras_nlp.models.TextClassifierPreprocessor`, which says how
            two segments are packed.
        questions: List of strings.
        texts: List of as many strings.
        sequence_length: Integer, the tokens of a row.
        stride: Integer, the tokens between the beginnings of windows, at most those
            that fit.

    Attributes:
        inputs: Dictionary of arrays (windows, T).
        windows: List of `Window`s, one for each row.
        texts: List of `Text`s, one for each question.
    """

    def __init__(self, preprocessor, questions, texts, sequence_length=384, stride=128):
        self.tokenizer, self._known = preprocessor.tokenizer, {}
        if not preprocessor.built:
            preprocessor.build(None)
        self.packer = preprocessor.packer
        checks.positive_integer("stride", stride)
        self.length, self.stride = sequence_length, stride
        self.texts = [self._text(text) for text in texts]
        asked = self._tokenize(list(questions))
        self.windows, self.begins, segments = [], [], []
        for number, (question, text) in enumerate(zip(asked, self.texts, strict=True)):
            question = question[: min(_LONGEST_QUESTION, self.length // 2)]
            for begin, tokens in self._cut(question, text):
                segments.append((question, tokens))
                pieces = text.pieces[begin : begin + len(tokens)]
                self.windows.append(Window(number, self._before(question), pieces))
                self.begins.append(begin)
        self.inputs = self._pack(segments)

    def _before(self, question):
        """How many tokens a row has in front of the text."""
        packer = self.packer
        return len(packer.start_value) + len(question) + len(packer.sep_value)

    def _text(self, text):
        if text not in self._known:
            self._known[text] = Text(text, self._tokenize)
        return self._known[text]

    def _tokenize(self, strings):
        tokens = self.tokenizer(strings)
        if hasattr(tokens, "to_list"):
            return tokens.to_list()
        return [list(map(int, each)) for each in tokens]

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
        for row, (window, begin) in enumerate(
            zip(self.windows, self.begins, strict=True)
        ):
            span = spans[window.question]
            if span and begin <= span[0] and span[1] < begin + len(window.pieces):
                found[:, row] = [window.begin + place - begin for place in span]
        return {"start": found[0], "end": found[1]}
