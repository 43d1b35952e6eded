"""What becomes of queries and keys while a model trains."""

import math
import os
import warnings
from typing import Any, Literal

import keras

from keras_align import keras_internals
from keras_align.callbacks.attention_sample import AttentionSample, Measured
from keras_align.callbacks.measurement import Measurement
from keras_align.callbacks.monitor_files import MonitorFiles
from keras_align.callbacks.step_counter import StepCounter
from keras_align.conversion.finding import find_attention, registration_hint
from keras_align.conversion.supported import is_aligned
from keras_align.diagnostics.layer_names import short_names
from keras_align.validation import checks


class AlignmentMonitor(keras.callbacks.Callback):
    """Measures queries and keys of every attention layer while a model trains.

    Of each aligned layer it records the `"loss"` of every epoch, the mean divergence
    before it is weighted. On a fixed sample, `inputs`, it measures, before the first
    step, at the end of each epoch, and every `frequency` steps, of each attention
    layer, plain or aligned:

    - `"mmd"` and `"matched_mmd"`: the unbiased MMD of queries and keys as they are, and
      in coordinates with equal moments, see `measure_alignment`. That of a layer is the
      sum over its heads, all others are means over heads.
    - `"query_norm"` and `"key_norm"`: mean Euclidean norms of real tokens.
    - `"entropy"`: mean entropy of the attention weights of a real query, in nats; the
      exponential is the number of keys that it attends to. Of Keras's own attention
      classes alone, and of those that inherit from them.
    - `"adversary_accuracy"`, of "gan" alone: how often the discriminator tells queries
      from keys on the sample, 0.5 if it cannot.
    - `"adversary_norm"`, of "gan" and "ct": norm of the trained weights of the
      discriminator or critic, as they are stored.

    The logs of an epoch get the totals `alignment/total_mmd` (summed over layers),
    `alignment/total_matched_mmd` and `alignment/mean_entropy`, which callbacks after
    this one and `History` see, so put it before `EarlyStopping("alignment/total_mmd",
    mode="min")` or `CSVLogger`. The progress bar prints all logs, so those of single
    layers are there only with `per_layer=True`. The sum of the losses is the
    `alignment_loss` that Keras logs.

    The model runs in inference mode, once for each measurement, and trains as it would
    without this callback. On JAX a measurement within an epoch costs a copy of the
    state. Of several processes the first writes files.

    Args:
        inputs: as in `measure_alignment`: arrays, a nested structure of arrays, or
            texts if the model has a `preprocessor`, some tens of samples. Defaults to
            `None`: only losses are recorded.
        frequency: `"epoch"`, or int > 0, after how many steps to measure within an
            epoch, too. A step is a batch that the optimizer was given. Callbacks run
            once in `steps_per_execution` steps. Defaults to `"epoch"`.
        per_head: bool, whether records and TensorBoard also have single heads, but for
            losses and norms of adversaries, which a layer has one of. Defaults to
            `False`.
        per_layer: bool, whether the logs of an epoch have every layer,
            `alignment/<layer>/<quantity>`. Defaults to `False`.
        log_dir: string or path, a local folder for TensorBoard: every value, and the
            MMD of layers and heads as an image where matplotlib is installed. On JAX
            and PyTorch it needs the package tensorboard. Defaults to `None`.
        csv_path: string or path, a local CSV file of the `records`. A run that resumes,
            whose first epoch or step is not 0, appends, and drops what was recorded
            after the step at which it resumes; a new run replaces the file. Defaults to
            `None`.
        bandwidth: as in `measure_alignment`. Defaults to `None`.
        batch_size: as in `measure_alignment`. Defaults to `32`.
        max_tokens: int > 1, most queries and keys of a head whose MMD is taken; the
            time for it grows with the square. Defaults to `256`.
        seed: int >= 0, of that sample. Defaults to `0`.
        name: string, what the keys of the logs begin with, for a second monitor of the
            same `fit`. Defaults to `"alignment"`.

    Attributes:
        records: list of dicts with the keys `"step"` (int, batches that the model was
            trained on), `"epoch"` (int, epochs that were finished), `"layer"` (string,
            a short name), `"head"` (int, or `None` for the layer), `"quantity"`
            (string) and `"value"` (float, NaN where it is not finite). Of the latest
            `fit`.
        history: list of dicts, one for each measurement, with `"step"`, `"epoch"` and
            the totals and layers under the names that logs have; losses at the end of
            an epoch alone.
        layers: dict from the short name of a layer to its path, as in
            `alignment_report`.

    Raises:
        ValueError: if an argument is wrong; in `fit`, before the first step, if the
            model has no attention to be measured or `inputs` do not fit it, or
            `csv_path` is another file.
        OSError: in `fit`, before the first step, if a file cannot be written.
        ImportError: in `fit`, before the first step, if tensorboard is missing.

    Example:

    >>> inputs = keras.Input((5, 8))
    >>> layer = keras_align.AlignedMultiHeadAttention(2, 4, alignment="mmd")
    >>> model = keras.Model(inputs, layer(inputs, inputs))
    >>> model.compile("adam", "mse")
    >>> x = np.random.default_rng(0).normal(size=(8, 5, 8))
    >>> monitor = keras_align.AlignmentMonitor(x[:4])
    >>> history = model.fit(x, x, epochs=2, callbacks=[monitor], verbose=0)
    >>> [row["step"] for row in monitor.history]
    [0, 1, 2]
    >>> len(history.history["alignment/total_mmd"])
    2
    """

    def __init__(
        self,
        inputs: Any = None,
        frequency: int | Literal["epoch"] = "epoch",
        per_head: bool = False,
        per_layer: bool = False,
        log_dir: str | os.PathLike | None = None,
        csv_path: str | os.PathLike | None = None,
        bandwidth: float | None = None,
        batch_size: int | None = 32,
        max_tokens: int = 256,
        seed: int = 0,
        name: str = "alignment",
    ) -> None:
        super().__init__()
        if isinstance(frequency, str):
            checks.choice("frequency", frequency, ("epoch",))
        else:
            checks.positive_integer("frequency", frequency)
        if bandwidth is not None:
            checks.positive("bandwidth", bandwidth)
        if batch_size is not None:
            checks.positive_integer("batch_size", batch_size)
        checks.integer_at_least("max_tokens", max_tokens, 2)
        checks.count("seed", seed)
        _check_name(name)
        checks.boolean("per_head", per_head)
        checks.boolean("per_layer", per_layer)
        self.frequency, self.per_head, self.per_layer = frequency, per_head, per_layer
        self.name, self.layers = name, {}
        self.records: list[dict[str, Any]] = []
        self.history: list[dict[str, Any]] = []
        self._sample = None
        if inputs is not None:
            self._sample = AttentionSample(
                inputs, batch_size, bandwidth, max_tokens, seed
            )
        self._files = MonitorFiles(log_dir, csv_path)
        self._steps, self._begins, self._measured_at = StepCounter(), False, -1

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.records, self.history, self._begins = [], [], True
        self._measured_at = -1
        found, others = find_attention(self.model)
        self._aligned = {x.path: x.layer for x in found if is_aligned(x.layer)}
        paths = [each.path for each in found] if self._sample else list(self._aligned)
        if not paths:
            raise ValueError(
                f"AlignmentMonitor: '{self.model.name}' {self._lack(others)}"
            )
        self._names = short_names(paths)
        self.layers = {name: path for path, name in self._names.items()}
        if keras_internals.is_first_process(self.model):
            self._files.open()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._begins:  # here others have restored what they resume
            self._begins = False
            self._steps.begin(self.model, epoch, self.params.get("steps"))
            self._files.begin(self._steps.step, epoch)
            if self._sample is not None:
                self._record(epoch, self._sample.measure(self.model))
        self._epoch = epoch
        self._steps.begin_epoch()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        # What is due at the end of a step is measured at the beginning of the next, as
        # `BackupAndResume` may undo a step at its end.
        estimate = self._steps.estimate(batch)
        if self._sample is not None and self._is_due(estimate):
            model = self.model  # on JAX this gives the variables their values
            if self._is_due(self._steps.look(model)):
                self._record(self._epoch, self._sample.measure(model))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        model = self.model
        self._steps.end_epoch(model, self.params.get("steps"))
        measured: Measured = {}
        if self._sample is not None:
            measured |= self._sample.measure(model)
        for path, layer in self._aligned.items():
            loss = layer.alignment_loss
            measured[path, "loss"] = math.nan if loss is None else loss
        measurement = self._record(epoch + 1, measured)
        if logs is not None:
            own = measurement.logs(self.name, self.per_layer)
            self._warn_of_another(own.keys() & logs.keys())
            logs.update(own)

    def on_train_end(self, logs: dict | None = None) -> None:
        self._files.close()

    def _warn_of_another(self, taken):
        """Of a monitor whose values the logs of this epoch have already."""
        if taken and len(self.history) <= 2:
            warnings.warn(
                f"AlignmentMonitor: the logs have {sorted(taken)} already, which are "
                "replaced. Give each monitor of a `fit` another `name`, and another "
                "`csv_path`.",
                stacklevel=2,
            )

    def _lack(self, others):
        """Why nothing can be recorded, a clause."""
        if self._sample is not None:
            return f"has no supported attention layer.{registration_hint(others)}"
        return (
            "has no aligned attention layer, and without `inputs` only the losses of "
            "such layers are recorded. Call `keras_align.align_model` first."
        )

    def _is_due(self, step):
        """Whether a multiple of `frequency` lies after the latest measurement."""
        if self.frequency == "epoch":
            return False
        return step // self.frequency > self._measured_at // self.frequency

    def _record(self, epoch, measured):
        step = self._measured_at = self._steps.step
        measurement = Measurement(step, epoch, measured, self._names)
        records = measurement.records(self.per_head)
        flat = measurement.logs(self.name, per_layer=True)
        self.records += records
        self.history.append({"step": step, "epoch": epoch, **flat})
        self._files.write(measurement, self.name, self.per_head)
        return measurement


def _check_name(name):
    if not isinstance(name, str) or not name.strip() or name != name.strip("/"):
        raise ValueError(
            "Argument `name` must be a string, not empty and without / at its ends. "
            f"Received: name={name!r}"
        )
