"""Where the tokens of a text stand in it.

The tokens are those that the tokenizer gives for the whole text. keras-hub's tokenizers
say nothing of characters, so that they are found by what each kind keeps of them.
"""

import re
import unicodedata

import keras_nlp

_CHUNK = re.compile(r"\S+", re.ASCII)  # no word of a WordPiece tokenizer has such space
_CJK = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def tokenize(tokenizer, strings):
    """Returns the ids of strings, a list of lists of integers."""
    tokens = tokenizer(strings)
    if hasattr(tokens, "to_list"):
        return tokens.to_list()
    return [list(map(int, each)) for each in tokens]


def reader_of(tokenizer):
    """Returns what reads the tokens of texts, and their characters.

    Args:
        tokenizer: A `keras_nlp.tokenizers.WordPieceTokenizer`, `BytePairTokenizer` or
            `SentencePieceTokenizer`, or of a class below these.

    Returns:
        A callable from a text to the list of its token ids, and a list of as many
        tuples, the first character of a token and that behind its last. It raises a
        `ValueError` for a text whose tokens are not found in it.

    Raises:
        ValueError: If the tokenizer is of another class.
    """
    for kind, reader in _READERS.items():
        if isinstance(tokenizer, kind):
            return reader(tokenizer)
    raise ValueError(
        "Argument `tokenizer` must be a WordPiece, byte-level BPE or SentencePiece "
        f"tokenizer. Received: {type(tokenizer).__name__}"
    )


def _not_found(text, tokenizer):
    return ValueError(
        f"The tokens of {type(tokenizer).__name__} were not found in the text "
        f"{text!r:.80}"
    )


class WordPieceReader:
    """Reads the tokens of a `WordPieceTokenizer`.

    A token is a part of a word in lower case and without accents, as the tokenizer is
    set. Where the words between two white spaces are not spelled by the tokens, each
    token gets the characters of all of them.

    Args:
        tokenizer: `keras_nlp.tokenizers.WordPieceTokenizer`.
    """

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.vocabulary = tokenizer.get_vocabulary()

    def __call__(self, text):
        """Returns the tokens of a text and their spans."""
        chunks = list(_CHUNK.finditer(text))
        strings = [chunk.group() for chunk in chunks]
        whole, *parts = tokenize(self.tokenizer, [text, *strings])
        if whole != [token for part in parts for token in part]:
            raise _not_found(text, self.tokenizer)
        spans = []
        for chunk, tokens in zip(chunks, parts, strict=True):
            found = self._align(self._words(chunk.group()), tokens)
            if found is None:
                found = [(0, len(chunk.group()))] * len(tokens)
            spans += [(chunk.start() + a, chunk.start() + b) for a, b in found]
        return whole, spans

    def _words(self, chunk):
        """Yields words: what is spelled, the place of each letter, the end."""
        spelled, places = "", []
        for place, character in enumerate(chunk):
            plain = self._without_accents(character)
            apart = self._is_apart(plain)
            if (apart or _is_control(plain)) and spelled:
                yield spelled, places, place
                spelled, places = "", []
            if _is_control(plain):
                continue
            letters = _fold(plain) if self.tokenizer.lowercase else plain
            spelled, places = spelled + letters, places + [place] * len(letters)
            if apart:
                yield spelled, places, place + 1
                spelled, places = "", []
        if spelled:
            yield spelled, places, len(chunk)

    def _without_accents(self, character):
        if not self.tokenizer.strip_accents:
            return character
        letters = unicodedata.normalize("NFD", character)
        return "".join(x for x in letters if unicodedata.category(x) != "Mn")

    def _is_apart(self, plain):
        """If a character is a word of its own: punctuation, or Chinese."""
        if len(plain) != 1:
            return False
        if plain.isascii() and plain.isprintable() and not plain.isalnum():
            return True
        chinese = any(first <= ord(plain) <= last for first, last in _CJK)
        return unicodedata.category(plain)[0] == "P" or (
            chinese and self.tokenizer.split_on_cjk
        )

    def _align(self, words, tokens):
        """Returns the spans of tokens that spell the words, or `None`."""
        spans, tokens = [], iter(tokens)
        for spelled, places, end in words:
            at = 0
            while at < len(spelled):
                token = next(tokens, None)
                if token is None:
                    return None
                name = self.vocabulary[token]
                if at == 0 and name == self.tokenizer.oov_token:
                    name = spelled
                elif at > 0:
                    name = name.removeprefix(self.tokenizer.suffix_indicator)
                if not spelled.startswith(name, at):
                    return None
                first, at = places[at], at + len(name)
                # An accent that was left out belongs to the letter in front of it.
                last = end if at == len(places) else max(places[at], places[at - 1] + 1)
                spans.append((first, last))
        return spans if next(tokens, None) is None else None


def _is_control(plain):
    return len(plain) == 1 and unicodedata.category(plain) in ("Cc", "Cf")


def _fold(plain):
    """Returns letters in lower case, as the tokenizer has it (NFKC_Casefold)."""
    folded = unicodedata.normalize("NFKC", plain).casefold()
    return unicodedata.normalize("NFKC", folded)


class BytePairReader:
    """Reads the tokens of a `BytePairTokenizer`.

    The name of a token has a character for each of its bytes. A token with a part of
    the bytes of a character gets the character.

    Args:
        tokenizer: `keras_nlp.tokenizers.BytePairTokenizer`.
    """

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        bytes_of = {name: byte for byte, name in enumerate(byte_names())}
        self.known = {}
        for name in tokenizer.get_vocabulary():
            is_bytes = all(letter in bytes_of for letter in name)
            self.known[int(tokenizer.token_to_id(name))] = (
                bytes(map(bytes_of.get, name)) if is_bytes else name.encode()
            )

    def __call__(self, text):
        """Returns the tokens of a text and their spans."""
        (tokens,) = tokenize(self.tokenizer, [text])
        added = int(self.tokenizer.add_prefix_space)
        content = b" " * added + text.encode()
        sizes = [len(character.encode()) for character in text]
        places = [0] * added + [k for k, size in enumerate(sizes) for _ in range(size)]
        spans, end = [], 0
        for token in tokens:
            name = self.known.get(token)
            # The tokenizer leaves out a few rare characters.
            begin = content.find(name, end) if name else -1
            if begin < 0:
                raise _not_found(text, self.tokenizer)
            end = begin + len(name)
            spans.append((places[begin], places[end - 1] + (end > added)))
        return tokens, spans


def byte_names():
    """Returns the character for each of the 256 bytes (Radford et al., 2019).

    As `bytes_to_unicode` of https://github.com/openai/gpt-2/blob/master/src/encoder.py.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(x) if x in printable else chr(next(others)) for x in range(256)]


class SentencePieceReader:
    """Reads the tokens of a `SentencePieceTokenizer`.

    Their characters are those that the package sentencepiece gives (tested: 0.2.3).

    Args:
        tokenizer: `keras_nlp.tokenizers.SentencePieceTokenizer`.
    """

    def __init__(self, tokenizer):
        import sentencepiece

        self.tokenizer = tokenizer
        self.model = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.proto)

    def __call__(self, text):
        """Returns the tokens of a text and their spans."""
        (tokens,) = tokenize(self.tokenizer, [text])
        spans = self.model.encode(text, return_type="offset_mapping")["offsets"]
        if len(spans) != len(tokens):
            raise _not_found(text, self.tokenizer)
        return tokens, spans


_READERS = {
    keras_nlp.tokenizers.WordPieceTokenizer: WordPieceReader,
    keras_nlp.tokenizers.BytePairTokenizer: BytePairReader,
    keras_nlp.tokenizers.SentencePieceTokenizer: SentencePieceReader,
}
