"""What attention layers compute on data, and how far keys and queries are apart."""

from keras_align.diagnostics.measuring import AlignmentMeasure, measure_alignment
from keras_align.diagnostics.recording import AttentionRecord, record_attention
from keras_align.diagnostics.reporting import AlignmentReport, alignment_report
from keras_align.diagnostics.sampling import sample_predictions

__all__ = [
    "AlignmentMeasure",
    "AlignmentReport",
    "AttentionRecord",
    "alignment_report",
    "measure_alignment",
    "record_attention",
    "sample_predictions",
]
