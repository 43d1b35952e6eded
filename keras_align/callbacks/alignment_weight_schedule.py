"""The rise of the alignment's weight while training begins."""

import math

import keras

from keras_align import keras_internals
from keras_align.layers.aligned_attention import AlignedAttention
from keras_align.validation import checks

_WARMUPS = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: progress,
    "cosine": lambda progress: 0.5 - 0.5 * math.cos(math.pi * progress),
}


class AlignmentWeightSchedule(keras.callbacks.Callback):
    """Raises the weights of the alignments to their values while training begins.

    Every aligned layer's loss is multiplied by a factor: 0 before `start_step`, then
    rising to 1 within `warmup_steps`. It is a variable, so nothing is traced again
    when it changes, and a function of the optimizer's step count alone, so
    whatever resumes the optimizer (`BackupAndRestore`, a `.keras` file) resumes it too.
    What the layers' `alignment_weight` says, and what is saved, is the final weight,
    which also a later `fit` without the schedule has. Callbacks run once in
    `steps_per_execution` steps, which therefore share the mean of their factors.

    At factor 0 the networks of "ct" and "gan" do not learn either.

    Args:
        warmup_steps: int >= 0, number of optimizer steps of the rise.
        warmup: string, `"linear"`, `"cosine"` (half a period) or `"constant"` (1 from
            `start_step` on). Defaults to `"linear"`.
        start_step: int >= 0, the optimizer's step with which the rise begins. Defaults
            to `0`.

    Raises:
        ValueError: if an argument is wrong, or the model has no aligned layer.

    Example:

    >>> inputs = keras.Input((5, 8))
    >>> layer = keras_align.AlignedMultiHeadAttention(2, 4, alignment="mmd")
    >>> model = keras.Model(inputs, layer(inputs, inputs))
    >>> model.compile("adam", "mse")
    >>> x = np.ones((8, 5, 8))
    >>> schedule = keras_align.AlignmentWeightSchedule(warmup_steps=100)
    >>> history = model.fit(x, x, callbacks=[schedule], verbose=0)
    >>> round(schedule.factor(25), 2)
    0.25
    """

    def __init__(
        self, warmup_steps: int = 0, warmup: str = "linear", start_step: int = 0
    ) -> None:
        super().__init__()
        checks.count("warmup_steps", warmup_steps)
        checks.count("start_step", start_step)
        checks.choice("warmup", warmup, tuple(_WARMUPS))
        self.warmup_steps, self.warmup = warmup_steps, warmup
        self.start_step = start_step
        self._factors, self._finished = [], False

    def factor(self, step: int) -> float:
        """The factor of the weights in the optimizer's step `step`, from 0."""
        if step < self.start_step:
            return 0.0
        if step >= self.start_step + self.warmup_steps:
            return 1.0
        return _WARMUPS[self.warmup]((step - self.start_step) / self.warmup_steps)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        layers = keras_internals.flattened(model)
        aligned = [x for x in layers if isinstance(x, AlignedAttention) and x.alignment]
        if not aligned:
            raise ValueError(
                f"AlignmentWeightSchedule: '{model.name}' has no aligned attention "
                "layer. Call `keras_align.align_model` first."
            )
        self._factors = [layer.alignment_factor for layer in aligned]

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._finished = False

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._finished:
            return  # on JAX a look at the optimizer costs a copy of its state
        model = self.model
        begin, each = keras_internals.batches_and_accumulation(model.optimizer)
        batches = range(begin, begin + model.steps_per_execution)
        factors = [self.factor(batch // each) for batch in batches]
        self._assign(sum(factors) / len(factors))
        self._finished = begin // each >= self.start_step + self.warmup_steps

    def on_train_end(self, logs: dict | None = None) -> None:
        self._assign(1.0)  # for a `fit` without the schedule

    def _assign(self, value):
        for factor in self._factors:
            factor.assign(value)
