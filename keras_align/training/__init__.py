"""Training on several devices, and training that can be resumed."""

from keras_align.training.distributing import distribute
from keras_align.training.shuffled_batches import ShuffledBatches

__all__ = ["ShuffledBatches", "distribute"]
