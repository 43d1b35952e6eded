"""The files that `AlignmentMonitor` writes."""

import os

from keras_align.callbacks.head_map import head_map
from keras_align.callbacks.measurement import Measurement
from keras_align.callbacks.records_file import RecordsFile
from keras_align.callbacks.summary_file import SummaryFile
from keras_align.validation import checks


class MonitorFiles:
    """A CSV file and an event file of TensorBoard, either of them or none.

    Nothing is written before `open`.

    Args:
        log_dir: string or path of a local folder, or `None`.
        csv_path: string or path of a local file, or `None`.
    """

    def __init__(
        self, log_dir: str | os.PathLike | None, csv_path: str | os.PathLike | None
    ) -> None:
        if log_dir is not None:
            checks.local_folder("log_dir", log_dir)
        if csv_path is not None:
            checks.local_file("csv_path", csv_path)
        self._log_dir, self._csv_path = log_dir, csv_path
        self._records: RecordsFile | None = None
        self._summaries: SummaryFile | None = None

    def open(self) -> None:
        """Raises unless all files can be written."""
        if self._csv_path is not None:
            self._records = RecordsFile(self._csv_path)
            self._records.check()
        if self._log_dir is not None:
            self._summaries = SummaryFile(self._log_dir)

    def begin(self, step: int, epoch: int) -> None:
        """Begins a run at a step and an epoch, from 0."""
        if self._records is not None:
            self._records.begin(step, is_resumed=bool(step or epoch))

    def write(self, measurement: Measurement, name: str, per_head: bool) -> None:
        """Writes a measurement.

        Args:
            measurement: `Measurement`.
            name: string, what the tags begin with.
            per_head: bool, whether to write single heads too.
        """
        if self._records is not None:
            self._records.write(measurement.records(per_head))
        if self._summaries is None:
            return
        scalars, images = measurement.logs(name, per_layer=True), {}
        if per_head:
            for layer, quantity, head, value in measurement.of_heads():
                scalars[f"{name}/{layer}/head_{head}/{quantity}"] = value
        of_heads = measurement.heads_of("mmd")
        picture = head_map(of_heads, "MMD of queries and keys") if of_heads else None
        if picture is not None:
            images[f"{name}/mmd"] = picture
        self._summaries.write(measurement.step, scalars, images)

    def close(self) -> None:
        """Closes the files."""
        if self._summaries is not None:
            self._summaries.close()
        self._records = self._summaries = None
