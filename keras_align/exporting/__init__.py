"""Aligned models as files for serving, without the alignment."""

from keras_align.exporting.saved_model import export_saved_model

__all__ = ["export_saved_model"]
