"""Callbacks for `fit`."""

from keras_align.callbacks.alignment_monitor import AlignmentMonitor
from keras_align.callbacks.alignment_weight_schedule import AlignmentWeightSchedule
from keras_align.callbacks.backup_and_resume import BackupAndResume

__all__ = ["AlignmentMonitor", "AlignmentWeightSchedule", "BackupAndResume"]
