"""Batches that `fit` reads without training on them."""

from typing import Any

import keras


class SkippedBatches:
    """The batches at the beginning of an epoch that were trained on before.

    Keras's `fit` calls `model.train_function` for every step, which reads the batches
    of the step (on PyTorch it gets them). Here another function takes its place, for
    one step at a time. It trains on the first batches all the same, as Keras creates
    the variables of metrics in that step: restore all variables afterwards.

    Args:
        model: compiled `keras.Model`.
        logs: dict of floats, what callbacks get as the logs of the steps.
    """

    def __init__(self, model: keras.Model, logs: dict[str, float]):
        self._model, self._logs = model, logs
        self._is_first, self._is_pending = True, False

    def skip_next_step(self) -> None:
        """Replaces `model.train_function` for the step that begins."""
        model, train = self._model, self._model.train_function

        def skip(*arguments: Any) -> Any:
            model.train_function, self._is_pending = train, False
            *state, batches = arguments  # JAX alone has a state
            if self._is_first:
                self._is_first, result = False, train(*arguments)
                state = list(result[1:]) if state else []
            else:
                _read(batches, model.steps_per_execution)
            return (dict(self._logs), *state) if state else dict(self._logs)

        self._is_pending, model.train_function = True, skip

    def check_skipped(self) -> None:
        """Raises unless `fit` has called the function since."""
        if self._is_pending:
            raise RuntimeError(
                "BackupAndResume resumes in the middle of an epoch only where `fit` "
                "calls `model.train_function` for every step, as Keras's own does."
            )


def _read(batches, number):
    for _ in zip(range(number), batches, strict=False):
        pass
