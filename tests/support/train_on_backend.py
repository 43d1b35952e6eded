"""Trains the same model on any backend, from the same weights."""

import contracts
import keras
import numpy as np

from keras_align import AdversarialAlignment

X, Y = contracts.tokens(5, batch=4), contracts.tokens(5, batch=4, seed=1)


class Schedule(keras.callbacks.Callback):
    """Doubles the weight of the alignment at every epoch."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def on_epoch_begin(self, epoch, logs=None):
        self.weight.assign(0.5 * 2.0**epoch)


def train():
    """The logs of `fit`, and in the end the norm of every weight as "norms".

    One layer is called three times, and the weight of its alignment changes.
    """
    weight = keras.Variable(0.5)
    shared = contracts.MULTI_HEAD.make("ct", alignment_weight=weight)
    other = contracts.GROUPED_QUERY.make("mmd", alignment_weight=1.0)
    inputs = keras.Input((5, 8))
    x = shared(inputs, inputs)
    x = shared(x, x) + shared(x, inputs, use_causal_mask=True)
    calm = AdversarialAlignment(learning_rate_multiplier=1.0)  # under plain SGD
    adversarial = contracts.MULTI_HEAD.make(calm, alignment_weight=1.0)
    x = other(x, x)
    model = keras.Model(inputs, adversarial(x, x))
    for index, variable in enumerate(model.trainable_weights):
        draw = np.random.default_rng(index).normal(0.0, 0.3, variable.shape)
        variable.assign(draw.astype("float32"))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    logs = model.fit(
        X,
        Y,
        epochs=3,
        batch_size=4,
        shuffle=False,
        verbose=0,
        validation_data=(X, Y),
        callbacks=[Schedule(weight)],
    ).history
    weights = map(keras.ops.convert_to_numpy, model.trainable_weights)
    return {**logs, "norms": [float(np.linalg.norm(weight)) for weight in weights]}
