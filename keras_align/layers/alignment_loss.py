"""The number `alignment_loss` in the logs of `fit`."""

import keras
from keras import ops


class AlignmentLoss(keras.metrics.Mean):
    """Mean divergence of one layer over the steps since the last reset, unweighted.

    Keras gathers the metrics of all layers by their names. Every aligned layer of a
    model therefore reports the same `alignment_loss`, the sum over the layers (PAPER:
    "sum over layers of L_align"), and under a name of its own what is asked for by
    `log_each_layer`. In evaluation there is nothing to report.
    """

    def __init__(self, name="alignment_loss", **kwargs):
        super().__init__(name=name, dtype="float32", **kwargs)
        self.reporting = False
        self.layer_name = None
        # A function, as a metric would track a list of metrics as its own.
        self._peers = lambda: (self,)

    def join(self, peers):
        """Says which trackers, in order, are the layers of one model."""
        self._peers = lambda: peers

    def mean(self):
        """This layer's mean divergence, a scalar tensor."""
        return super().result()

    def result(self):
        if not self.reporting:
            return {}
        total = sum(tracker.mean() for tracker in self._peers())
        logs = {self.name: ops.convert_to_tensor(total)}
        if self.layer_name is not None:
            logs[f"{self.name}/{self.layer_name}"] = self.mean()
        return logs
