"""Metrics of how far a model's confidence can be trusted."""

from keras_align.metrics.expected_calibration_error import ExpectedCalibrationError

__all__ = ["ExpectedCalibrationError"]
