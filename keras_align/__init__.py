"""Keras attention whose keys and queries follow the same distribution."""

from keras_align import (
    divergences,
    models,
    reports,
    robustness,
    training,
    visualization,
)
from keras_align.adapters import AttentionAdapter, register_attention
from keras_align.alignments import (
    AdversarialAlignment,
    Adversary,
    Alignment,
    ConditionalTransportAlignment,
    MaximumMeanDiscrepancyAlignment,
    OptimalTransportAlignment,
    register_alignment,
    reverse_gradient,
)
from keras_align.calibration import TemperatureScaling
from keras_align.callbacks import (
    AlignmentMonitor,
    AlignmentWeightSchedule,
    BackupAndResume,
)
from keras_align.conversion import align_model, strip_alignment, without_alignment
from keras_align.diagnostics import (
    alignment_report,
    measure_alignment,
    record_attention,
    sample_predictions,
)
from keras_align.exporting import export_saved_model
from keras_align.layers import (
    AlignedAttention,
    AlignedGraphAttention,
    AlignedGroupedQueryAttention,
    AlignedMultiHeadAttention,
    GraphAttention,
)
from keras_align.matching import match_moments
from keras_align.metrics import ExpectedCalibrationError, PAvPU, RiskCoverage
from keras_align.reports import report

__all__ = [
    "AdversarialAlignment",
    "Adversary",
    "AlignedAttention",
    "AlignedGraphAttention",
    "AlignedGroupedQueryAttention",
    "AlignedMultiHeadAttention",
    "Alignment",
    "AlignmentMonitor",
    "AlignmentWeightSchedule",
    "AttentionAdapter",
    "BackupAndResume",
    "ConditionalTransportAlignment",
    "ExpectedCalibrationError",
    "GraphAttention",
    "MaximumMeanDiscrepancyAlignment",
    "OptimalTransportAlignment",
    "PAvPU",
    "RiskCoverage",
    "TemperatureScaling",
    "align_model",
    "alignment_report",
    "divergences",
    "export_saved_model",
    "match_moments",
    "measure_alignment",
    "models",
    "record_attention",
    "register_alignment",
    "register_attention",
    "report",
    "reports",
    "reverse_gradient",
    "robustness",
    "sample_predictions",
    "strip_alignment",
    "training",
    "visualization",
    "without_alignment",
]
__version__ = "0.1.0"


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
