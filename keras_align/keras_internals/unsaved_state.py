"""Variables of a layer that are neither weights nor saved."""

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike


class UnsavedState(keras.random.SeedGenerator):
    """A float32 variable of a layer that is neither a weight nor saved.

    A metric's variables cannot be written in `call` by a stateless step (JAX's `fit`),
    and a variable of the layer is counted among its weights and saved with them. The
    state of a seed generator is neither, and every backend carries it through `call`,
    so this is one to Keras. It is in `layer.variables`.

    Args:
        initial: float or array, the value that it starts with.
        name: string.
        summed: bool, whether replicas of `tf.distribute` write values of their own,
            which are added up when it is read. Defaults to `False`.

    Attributes:
        state: `keras.Variable`.
    """

    def __init__(self, initial: ArrayLike, name: str, summed: bool = False):
        self.name, self.initial = name, np.asarray(initial, "float32")
        of_replicas = {"aggregation": "sum", "synchronization": "on_read"}
        self.state = keras.Variable(
            lambda shape, dtype: ops.convert_to_tensor(self.initial, dtype),
            shape=self.initial.shape,  # with a function it may be made in any scope
            dtype="float32",
            trainable=False,
            autocast=False,
            name=name,
            **(of_replicas if summed else {}),
        )

    def reset(self) -> None:
        """Gives the variable the value that it started with."""
        self.state.assign(self.initial)

    def get_config(self) -> dict:
        return {"initial": self.initial.tolist(), "name": self.name}
