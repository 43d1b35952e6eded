"""What the alignment must know about each attention class."""

from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.layout import check_layout
from keras_align.adapters.registry import (
    adapter_for,
    is_registered,
    register_attention,
)

__all__ = [
    "AttentionAdapter",
    "adapter_for",
    "check_layout",
    "is_registered",
    "register_attention",
]
