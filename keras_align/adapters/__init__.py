"""What the alignment must know about each attention class."""

from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.registry import adapter_for, register_attention

__all__ = ["AttentionAdapter", "adapter_for", "register_attention"]
