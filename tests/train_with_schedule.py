"""Trains at rate 0 with a rising weight, on the backend of this process.

Usage: KERAS_BACKEND=... python train_with_schedule.py FILE.json
"""

import json
import pathlib
import sys

import contracts
import test_callbacks
from keras import ops

from keras_align import AlignmentWeightSchedule


def main(file):
    layer = contracts.MULTI_HEAD.make("mmd", alignment_weight=1.0)
    model = test_callbacks.compiled(contracts.functional(layer))
    schedule = AlignmentWeightSchedule(warmup_steps=4)
    logs, factors = test_callbacks.fit(model, schedule, epochs=2)
    layer(test_callbacks.X, test_callbacks.X, training=True)
    divergence = float(ops.convert_to_numpy(layer.losses[0]))
    result = {"loss": logs["loss"], "factors": factors, "divergence": divergence}
    file.write_text(json.dumps(result))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
