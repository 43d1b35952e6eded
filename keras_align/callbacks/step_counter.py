"""The number of batches that a model was trained on."""

import keras

from keras_align import keras_internals


class StepCounter:
    """Counts batches as the optimizer does, so that a resumed run counts on.

    A look at the optimizer costs a copy of the state on JAX, so within an epoch the
    steps are estimated first; the estimate is never too small.

    Attributes:
        step: int, number of batches at the latest look.
    """

    def __init__(self) -> None:
        self.step = self._offset = 0
        self._start = self._base = self._batches = 0  # of the epoch
        self._optimizer_counts = True

    def begin(self, model: keras.Model, epoch: int, steps: int | None) -> None:
        """Begins a `fit`.

        Args:
            model: `keras.Model`.
            epoch: int, the first epoch.
            steps: int or `None`, number of batches of an epoch.
        """
        self._offset, self._optimizer_counts = 0, True
        self.step = _batches_of(model)
        if epoch and not self.step:  # weights were loaded without the optimizer
            self.step = self._offset = epoch * (steps or 0)

    def begin_epoch(self) -> None:
        """Begins an epoch."""
        self._start = self._base = self.step
        self._batches = 0

    def estimate(self, batches: int) -> int:
        """At most so many steps were taken after `batches` batches of the epoch."""
        self._batches = batches
        return self._base + batches

    def look(self, model: keras.Model) -> int:
        """The exact number of steps, after the batches of the latest estimate."""
        if self._optimizer_counts:
            self.step = self._offset + _batches_of(model)
            self._base = self.step - self._batches
        else:
            self.step = self._start + self._batches
        return self.step

    def end_epoch(self, model: keras.Model, steps: int | None) -> int:
        """The exact number of steps at the end of an epoch.

        A model with a `train_step` and optimizers of its own may leave
        `model.optimizer` alone; its batches are then counted here.

        Args:
            model: `keras.Model`.
            steps: int or `None`, number of batches of an epoch.
        """
        self._batches = steps or self._batches + 1
        if self.look(model) == self._start:
            self._optimizer_counts = False
        return self.look(model)


def _batches_of(model):
    if getattr(model, "optimizer", None) is None:
        return 0
    return keras_internals.batches_and_accumulation(model.optimizer)[0]
