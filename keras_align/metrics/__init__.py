"""Metrics of how far a model's confidence can be trusted."""

from keras_align.metrics.expected_calibration_error import ExpectedCalibrationError
from keras_align.metrics.pavpu import PAvPU
from keras_align.metrics.risk_coverage import RiskCoverage

__all__ = ["ExpectedCalibrationError", "PAvPU", "RiskCoverage"]
