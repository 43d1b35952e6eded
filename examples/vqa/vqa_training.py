"""Training of co-attention networks, for the data sets of `question_sets`."""

import dataclasses
import time

import keras
import numpy as np
from question_batches import QuestionBatches, with_images
from stored_features import StoredFeatures

import keras_align

PIXELS = 255.0
PREDICTED = 256  # questions at a time


@dataclasses.dataclass(frozen=True)
class Settings:
    """Size and training of a network.

    Args:
        num_layers: Integer.
        hidden_dim: Integer.
        num_heads: Integer.
        intermediate_dim: Integer.
        fusion_dim: Integer.
        embedding_dim: Integer.
        dropout: Float.
        batch_size: Integer.
        epochs: Integer.
        learning_rate: Float, of Adam, at its highest: it grows linearly over the first
            tenth of the steps and falls to 0 along a cosine.
        weight_decay: Float, of AdamW.
        jit_compile: Bool.
        precision: String, the dtype policy.
    """

    num_layers: int = 4
    hidden_dim: int = 512
    num_heads: int = 8
    intermediate_dim: int = 2048
    fusion_dim: int = 1024
    embedding_dim: int = 300
    dropout: float = 0.1
    batch_size: int = 64
    epochs: int = 13
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    jit_compile: bool = True
    precision: str = "float32"


OF_FEATURES = Settings(
    num_layers=2,
    hidden_dim=128,
    num_heads=4,
    intermediate_dim=256,
    fusion_dim=256,
    embedding_dim=128,
    dropout=0.3,
    learning_rate=1e-3,
)
OF_DATA_SETS = {
    "easy_vqa": Settings(
        num_layers=1,
        hidden_dim=64,
        num_heads=4,
        intermediate_dim=128,
        fusion_dim=128,
        embedding_dim=64,
        dropout=0.0,
        batch_size=64,
        epochs=4,
        learning_rate=1e-3,
    ),
    "daquar": dataclasses.replace(OF_FEATURES, epochs=6),
    "vqa_rad": dataclasses.replace(OF_FEATURES, epochs=15),
    "vqa_v2": Settings(),
}


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set as numbers.

    Args:
        data: `question_data.QuestionData`.
        vocabulary: `question_data.Vocabulary`.
        images: Array of all images: uint8 pixels or features of regions; or
            `stored_features.StoredFeatures`, whose padding is masked.
        similarity: Function of two words for WUPS, or `None` for no WUPS.
    """

    data: object
    vocabulary: object
    images: np.ndarray
    similarity: object = None

    @property
    def of_pixels(self):
        """Whether images are pixels, for an encoder that is trained along."""
        return self.images.ndim == 4

    @property
    def masked(self):
        """Whether some regions are padding."""
        return isinstance(self.images, StoredFeatures)

    def inputs(self, questions, images=None):
        """Returns the inputs of a network for some questions."""
        images = self.images if images is None else images
        ids = self.vocabulary.ids(questions.texts)
        inputs = {"question": ids, "image": questions.images}
        return with_images(inputs, images, self.masked)

    def batches(self, questions, images=None):
        """Returns the same in batches, in the order of the questions."""
        return QuestionBatches(
            self.images if images is None else images,
            self.vocabulary.ids(questions.texts),
            questions.images,
            None,
            min(PREDICTED, len(questions)),
            masked=self.masked,
            shuffle=False,
            drop_remainder=False,
        )


def build(task, settings):
    """Returns a `keras_align.models.ModularCoAttentionNetwork` for a task."""
    names = ("num_layers", "hidden_dim", "num_heads", "intermediate_dim")
    names += ("fusion_dim", "embedding_dim", "dropout")
    image = {"image_features": task.images.shape[-1]}
    if task.of_pixels:
        image = {"image_encoder": pixel_encoder(task.images.shape[1:], settings)}
    return keras_align.models.ModularCoAttentionNetwork(
        len(task.vocabulary.answers),
        task.vocabulary.num_words,
        question_length=task.vocabulary.length,
        **{name: getattr(settings, name) for name in names},
        **image,
        masked_regions=task.masked,
        dtype=settings.precision,
    )


def pixel_encoder(shape, settings):
    """Returns a `patch_encoder` of pixels from 0 to 255."""
    pixels = keras.Input(shape, name="pixels")
    scaled = keras.layers.Rescaling(2.0 / PIXELS, -1.0)(pixels)
    encoder = keras_align.models.patch_encoder(shape, dtype=settings.precision)
    return keras.Model(pixels, encoder(scaled), name="pixel_encoder")


def compile_model(model, settings, steps):
    """Compiles for the cross entropy of the answers."""
    warmup = max(steps // 10, 1)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(steps - warmup, 1),
        warmup_target=settings.learning_rate,
        warmup_steps=warmup,
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=settings.jit_compile,
    )
    # Or TensorFlow traces the step twice: in the first trace it makes these variables.
    model.optimizer.build(model.trainable_variables)


def train(task, method, settings, seed, verbose=0):
    """Trains one network and returns it with what `fit` says of the last epoch.

    Questions of training whose answer is not in the vocabulary are left out.

    Returns:
        Tuple: the network, and a dictionary of floats: the losses, and
        `seconds_per_step`, without the first epoch, which compiles.
    """
    keras.utils.set_random_seed(seed)
    model = build(task, settings)
    if method.alignment is not None:
        keras_align.align_model(model, method.alignment, method.weight)
    questions = task.data.train
    labels = task.vocabulary.labels(questions)
    known = np.flatnonzero(labels >= 0)
    batches = QuestionBatches(
        task.images,
        task.vocabulary.ids(questions.texts)[known],
        questions.images[known],
        labels[known],
        min(settings.batch_size, len(known)),
        masked=task.masked,
        seed=seed,
    )
    compile_model(model, settings, settings.epochs * len(batches))
    timer = EpochTimer()
    history = model.fit(
        batches, epochs=settings.epochs, shuffle=False, verbose=verbose,
        callbacks=[timer],
    )  # fmt: skip
    log = history.history
    last = {name: log[name][-1] for name in log if name.endswith("loss")}
    per_step = np.median(timer.seconds[1:] or [np.nan]) / len(batches)
    return model, last | {"seconds_per_step": float(per_step)}


class EpochTimer(keras.callbacks.Callback):
    """Notes the CPU seconds of every epoch, of all threads of this process."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.process_time() - self.begin)
