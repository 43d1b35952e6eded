"""Data and strategies for `fit`: several devices, interrupted runs, graphs."""

from keras_align.training.distributing import distribute
from keras_align.training.full_batch import full_batch
from keras_align.training.shuffled_batches import ShuffledBatches

__all__ = ["ShuffledBatches", "distribute", "full_batch"]
