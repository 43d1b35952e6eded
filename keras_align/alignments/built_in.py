"""What the four built-in alignments share."""

from typing import Any

from keras_align.alignments.alignment import Alignment
from keras_align.alignments.earlier_names import EarlierNames


class BuiltInAlignment(EarlierNames, Alignment):
    """Base of the alignments that `alignment=` knows by a short name.

    A config without `max_tokens`, as those of previews of 0.1.0, is one of all tokens.

    Args:
        max_tokens: see `Alignment`. Defaults to `64`.
    """

    def __init__(self, max_tokens: int | None = 64, **kwargs: Any):
        super().__init__(max_tokens=max_tokens, **kwargs)

    @classmethod
    def from_config(cls, config: dict) -> Any:
        alignment = super().from_config(config)
        if "max_tokens" not in config:
            alignment.max_tokens = None
        return alignment
