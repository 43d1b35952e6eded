"""Conversion of existing models to aligned attention and back, in place."""

from keras_align.conversion.aligning import align_model
from keras_align.conversion.stripping import strip_alignment, without_alignment

__all__ = [
    "align_model",
    "strip_alignment",
    "without_alignment",
]
