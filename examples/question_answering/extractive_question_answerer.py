"""A head that finds answers in texts, on any backbone of keras-hub."""

import json
import pathlib

import finetuning
import keras
import keras_nlp
import numpy as np
from keras import ops

_NOWHERE = -1e4  # a logit of padding, which float16 holds, too


@keras.saving.register_keras_serializable(package="question_answering")
class ExtractiveQuestionAnswerer(keras_nlp.models.Task):
    """Gives for every token the logits that an answer starts and ends there.

    The head is one dense layer with two outputs over the tokens (Devlin et al., 2019,
    section 4.2). Questions and texts become inputs by `windows.Windows`.

    Args:
        backbone: A backbone of keras-hub with an output, or an output
            "sequence_output", of the shape (B, T, D). A pooler is frozen: nothing is
            computed from it.
        preprocessor: A `keras_nlp.models.TextClassifierPreprocessor` for pairs, or
            `None`.
        dropout: Float, in front of the head.

    Call arguments:
        inputs: Those of the backbone, dictionary of arrays (B, T).

    Returns:
        A dictionary with "start" and "end", float32 logits (B, T).
    """

    def __init__(self, backbone, preprocessor=None, dropout=0.1, **kwargs):
        self.backbone, self.preprocessor = backbone, preprocessor
        policy = backbone.dtype_policy
        self.output_dropout = keras.layers.Dropout(dropout, dtype=policy)
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.output_dense = keras.layers.Dense(
            2, kernel_initializer=initializer, dtype=policy, name="logits"
        )
        inputs = backbone.input
        outputs = backbone(inputs)
        if isinstance(outputs, dict):
            outputs = outputs["sequence_output"]
        if hasattr(backbone, "pooled_dense"):  # it gets no gradient
            backbone.pooled_dense.trainable = False
        logits = self.output_dense(self.output_dropout(outputs))
        logits = ops.cast(logits, "float32")
        mask = ops.expand_dims(inputs["padding_mask"], -1)
        logits = ops.where(ops.cast(mask, "bool"), logits, _NOWHERE)
        spans = {"start": logits[..., 0], "end": logits[..., 1]}
        # Compiled without a loss, it could not be loaded from a file of Keras.
        super().__init__(inputs=inputs, outputs=spans, compile=False, **kwargs)
        self.dropout = dropout

    def get_config(self):
        return super().get_config() | {"dropout": self.dropout}

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Returns a task on the backbone of any preset, or one that was saved.

        A folder that `save_to_preset` has written is loaded with its head; any other
        preset gets a new one.

        Args:
            preset: String, a preset of keras-hub or the path of a folder.
            load_weights: Bool.
            **kwargs: `dropout`, `preprocessor`, and arguments of the backbone, as
                `dtype`.
        """
        saved = _saved_task(preset, cls)
        if "preprocessor" not in kwargs:
            kwargs["preprocessor"] = None
            if saved is None or pathlib.Path(preset, "preprocessor.json").exists():
                preprocessors = keras_nlp.models.TextClassifierPreprocessor
                kwargs["preprocessor"] = preprocessors.from_preset(str(preset))
        own = {k: kwargs.pop(k) for k in ("dropout", "preprocessor") if k in kwargs}
        if saved is not None:
            own = {"dropout": saved["dropout"]} | own
        backbone = keras_nlp.models.Backbone.from_preset(
            str(preset), load_weights=load_weights, **kwargs
        )
        task = cls(backbone, **own)
        if saved is not None and load_weights:
            task.load_task_weights(str(pathlib.Path(preset, "task.weights.h5")))
        return task


def _saved_task(preset, cls):
    """Returns the config of a task of this class in a folder, or `None`."""
    file = pathlib.Path(str(preset), "task.json")
    if not file.is_file():
        return None
    config = json.loads(file.read_text(encoding="utf-8"))
    name = keras.saving.get_registered_name(cls)
    return config["config"] if config["registered_name"] == name else None


def of_model(model, inputs):
    """Returns the inputs that a model takes, some without segments."""
    return {name: inputs[name] for name in model.input}


def predict(model, inputs, batch_size=32, buckets=None):
    """Returns "start" and "end", float32 logits (B, T) of all tokens.

    Args:
        model: `ExtractiveQuestionAnswerer`.
        inputs: Dictionary of arrays (B, T), as `windows.Windows` has.
        batch_size: Integer.
        buckets: Lengths to which padding is cut, or `None`.
    """
    shape = inputs["token_ids"].shape
    logits = {name: np.full(shape, _NOWHERE, "float32") for name in ("start", "end")}
    inputs = of_model(model, inputs)
    for rows, cut in finetuning.by_length(inputs, buckets or [shape[1]]):
        found = finetuning.predict_rows(model, cut, batch_size)
        for name, array in found.items():
            logits[name][rows, : array.shape[1]] = array
    return logits
