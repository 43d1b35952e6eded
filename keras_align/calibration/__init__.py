"""Making confidences true after training."""

from keras_align.calibration.temperature_scaling import TemperatureScaling

__all__ = ["TemperatureScaling"]
