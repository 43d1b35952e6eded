"""A layer that counts how often a model is traced."""

from keras import layers


class Counted(layers.Layer):
    """Counts how often its call is traced."""

    traces = 0

    def call(self, x, training=None):
        self.traces += bool(training)
        return x
