"""The number `alignment_loss` in the logs of `fit`."""

import weakref

import keras
from keras import ops

from keras_align import keras_internals
from keras_align.validation.names import unique_name

_NAME = "alignment_loss"


class AlignmentLoss(keras.metrics.Mean):
    """Mean divergence of one layer over the samples since the last reset, unweighted.

    Keras puts the metrics of all layers into the logs by their names. Of the aligned
    layers of a model the first reports `alignment_loss`, the sum over the layers
    (PAPER: "sum over layers of L_align"); each reports `alignment_loss/<layer>` if
    asked to. In evaluation there is nothing to report.

    Args:
        layer_name: string, name of the layer.
    """

    def __init__(self, layer_name):
        self._layer_name = self._label = layer_name
        # Functions, as a metric would track a list of metrics as its own.
        self._root = lambda: None
        self._peers = lambda: (self,)
        super().__init__(name=_NAME, dtype="float32")
        self.reporting = False
        self.reporting_layer = False

    def is_joined_in(self, root):
        """Whether the trackers of the layers of the model `root` are joined."""
        return self._root() is root

    def join(self, root, peers):
        """Makes `peers`, itself among them, the trackers of the layers of a model."""
        taken = set()
        for peer in peers:
            peer._root, peer._peers = weakref.ref(root), lambda: peers
            peer._label = unique_name(peer._layer_name, taken)
            peer.name = _NAME if peer is peers[0] else f"{_NAME}/{peer._label}"

    def part(self):
        """Undoes `join`, as when a layer of the model is aligned no more."""
        for peer in self._peers():
            peer._root, peer._peers = lambda: None, lambda peer=peer: (peer,)

    def joined(self):
        """Returns a function that undoes a later `part`."""
        before = [(peer, peer._root, peer._peers) for peer in self._peers()]

        def join_again():
            for peer, root, peers in before:
                peer._root, peer._peers = root, peers

        return join_again

    def save_own_variables(self, store):
        """Saves nothing: the state of an epoch is no weight."""

    def load_own_variables(self, store):
        """Loads nothing, see `save_own_variables`."""

    def mean(self):
        """This layer's mean divergence, a scalar tensor."""
        return super().result()

    def result(self):
        logs, reporting = {}, self._is_reporting()
        if reporting and self._peers()[0] is self:
            total = sum(tracker.mean() for tracker in self._peers())
            logs[_NAME] = ops.convert_to_tensor(total)
        if reporting and self.reporting_layer:
            logs[f"{_NAME}/{self._label}"] = self.mean()
        return logs

    def _is_reporting(self):
        """Whether training went on since the last reset.

        A step that is being traced tells by what was traced last; when `fit` asks at
        the end of an epoch, nothing need have been traced in it.
        """
        if keras_internals.runs_tensorflow_eagerly():
            return bool(ops.convert_to_numpy(self.count) > 0)
        return self.reporting
