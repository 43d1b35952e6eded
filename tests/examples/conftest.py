"""What the tests of the fine-tuning examples share: a tiny model, no download."""

import numpy as np
import pytest
import sentences

WORDS = ("good", "bad", "film", "the", "plot", "with", "nice", "poor")


@pytest.fixture(scope="session")
def tiny_preset(tmp_path_factory):
    """A folder with an untrained BERT that knows a few words."""
    keras_nlp = pytest.importorskip("keras_nlp")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=vocabulary)
    preprocessor = keras_nlp.models.BertTextClassifierPreprocessor(tokenizer)
    backbone = keras_nlp.models.BertBackbone(
        len(vocabulary), 1, 2, hidden_dim=8, intermediate_dim=8, max_sequence_length=32
    )
    model = keras_nlp.models.BertTextClassifier(backbone, 2, preprocessor)
    folder = tmp_path_factory.mktemp("preset")
    model.save_to_preset(str(folder))
    return folder


def made_up_sentences(count, seed):
    """Sentences of the words that the tiny model knows, with random classes."""
    draw = np.random.default_rng(seed)
    texts = [" ".join(draw.choice(WORDS, 4)) for _ in range(count)]
    return sentences.Sentences((texts,), draw.integers(2, size=count).astype("int32"))


@pytest.fixture(scope="session")
def tiny_task():
    """A task of two classes and two test sets."""
    sizes = 20, 8, 12, 12
    train, validation, inside, outside = map(made_up_sentences, sizes, range(4))
    tests = {"inside": inside, "outside": outside}
    return sentences.Task("made up", ["no", "yes"], train, validation, tests)
