"""Trains on the backend of this process.

Usage: KERAS_BACKEND=... python train_on_backend.py FILE.json
"""

import json
import pathlib
import sys

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


def main(file):
    weight = keras.Variable(0.5)
    shared = contracts.MULTI_HEAD.make("ct", alignment_weight=weight)
    other = contracts.GROUPED_QUERY.make("mmd", alignment_weight=1.0)
    inputs = keras.Input((5, 8))
    x = shared(inputs, inputs)
    x = shared(x, x) + shared(x, inputs, use_causal_mask=True)
    calm = AdversarialAlignment(learning_speed=1.0)  # under plain SGD
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
    norms = [float(np.linalg.norm(weight)) for weight in weights]
    file.write_text(json.dumps({**logs, "norms": norms}))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
