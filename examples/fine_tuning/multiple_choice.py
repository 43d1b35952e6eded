"""A head that chooses the right ending, as of SWAG, on any backbone of keras-hub."""

import dataclasses

import keras
import keras_nlp
import numpy as np
import repeated_runs
from keras import ops


@dataclasses.dataclass(frozen=True)
class ChoicePreprocessor:
    """Makes a beginning and its endings the inputs of a choice.

    Args:
        of_pairs: A `keras_nlp.models.TextClassifierPreprocessor`.
    """

    of_pairs: object

    def __call__(self, texts, labels=None):
        """Returns a dictionary of arrays (B, choices, T).

        Args:
            texts: Tuple of arrays of strings: beginnings, first endings, and so on.
            labels: Left out, as keras-hub's preprocessors have them.
        """
        beginnings, *endings = texts
        pairs = [self.of_pairs((beginnings, ending), None) for ending in endings]
        return {
            name: np.stack([ops.convert_to_numpy(pair[name]) for pair in pairs], axis=1)
            for name in pairs[0]
        }


def build(settings, choices, seed):
    """Returns a model that gives each of some endings a logit.

    The head is a dense layer with one output over the pooled output of each pair, or
    that of its first token (Devlin et al., 2019, section 4.4).

    Args:
        settings: `finetuning.Settings`.
        choices: Integer, the number of endings.
        seed: Integer.
    """
    keras.utils.set_random_seed(seed)
    preset, length = str(settings.preset), settings.sequence_length
    options = {"dtype": settings.precision}
    if settings.dropout is not None:
        options["dropout"] = settings.dropout
    backbone = keras_nlp.models.Backbone.from_preset(preset, **options)
    inputs = {
        name: keras.Input((choices, length), dtype=each.dtype, name=name)
        for name, each in backbone.input.items()
    }
    outputs = backbone({
        name: ops.reshape(each, (-1, length)) for name, each in inputs.items()
    })  # fmt: skip
    policy = backbone.dtype_policy
    pooled = keras.layers.Dropout(0.1, dtype=policy)(pooled_output(outputs))
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)
    head = keras.layers.Dense(1, kernel_initializer=initializer, dtype=policy)
    logits = ops.reshape(head(pooled), (-1, choices))
    model = keras.Model(inputs, ops.cast(logits, "float32"))
    of_pairs = keras_nlp.models.TextClassifierPreprocessor.from_preset(
        preset, sequence_length=length
    )
    model.preprocessor = ChoicePreprocessor(of_pairs)
    return model


def pooled_output(outputs):
    """Returns one vector for each text of what a backbone returns, (B, D)."""
    if not isinstance(outputs, dict):
        return outputs[:, 0]
    if "pooled_output" in outputs:
        return outputs["pooled_output"]
    return outputs["sequence_output"][:, 0]


class ChoiceRuns(repeated_runs.RepeatedRuns):
    """Runs of one method on a task whose texts are beginnings and endings."""

    def build(self):
        if self.settings.length_buckets > 1:
            raise ValueError("Choices are not cut by length: use 1 length bucket")
        choices = len(self.task.train.columns) - 1
        return build(self.settings, choices, seed=0)
