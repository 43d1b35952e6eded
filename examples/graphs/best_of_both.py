"""The checkpoint rule of the graph attention network."""

import keras
import numpy as np


class BestOfBoth(keras.callbacks.Callback):
    """Keeps the weights that were best in loss and in accuracy, and stops after both.

    An epoch in which neither the validation loss nor the validation accuracy is as good
    as the best so far is one without progress; after `patience` of them in a row the
    training ends. Weights are kept when both are as good as the best so far, and
    restored at the end.

    Source: the authors' code of Velickovic et al. 2018, `execute_cora.py`.

    Args:
        loss: String, the key of the logs with the validation loss, without penalties.
        accuracy: String, the key of the logs with the validation accuracy.
        patience: Integer, epochs.
    """

    def __init__(self, loss="val_cross_entropy", accuracy="val_accuracy", patience=100):
        super().__init__()
        self.loss, self.accuracy, self.patience = loss, accuracy, patience

    def on_train_begin(self, logs=None):
        self.lowest, self.highest, self.waited = np.inf, 0.0, 0
        self.kept, self.best_epoch = self.model.get_weights(), 0

    def on_epoch_end(self, epoch, logs=None):
        loss, accuracy = logs[self.loss], logs[self.accuracy]
        lower, higher = loss <= self.lowest, accuracy >= self.highest
        if lower and higher:
            self.kept, self.best_epoch = self.model.get_weights(), epoch
        self.lowest = min(self.lowest, loss)
        self.highest = max(self.highest, accuracy)
        self.waited = 0 if lower or higher else self.waited + 1
        if self.waited >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.model.set_weights(self.kept)
