"""One HTML page about two models: keys and queries, answers, and what changed."""

from keras_align.reports.comparing import report
from keras_align.reports.examining import Examination, examine

__all__ = ["Examination", "examine", "report"]
