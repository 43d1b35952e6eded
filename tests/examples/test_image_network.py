"""`torch_weights` against PyTorch, and EfficientNet-Lite0 against its definition."""

import os
import pickle

import fetching
import grid_features
import image_network
import keras
import numpy as np
import pytest
import torch_weights
from question_data import QuestionData

pytestmark = pytest.mark.backends("tensorflow")


def save(tensors, file):
    torch = pytest.importorskip("torch")
    torch.save(tensors, file, _use_new_zipfile_serialization=False)
    return file


def test_weights_are_those_of_torch(tmp_path):
    torch = pytest.importorskip("torch")
    rows = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "matrix": torch.randn(3, 5),
        "view": rows[1:, ::2],
        "transposed": rows.T,
        "half": torch.randn(2, 2).half(),
        "count": torch.tensor(7),
    }
    read = torch_weights.read_weights(save(tensors, tmp_path / "old.pth"))
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name], tensor.numpy())
        assert read[name].dtype == tensor.numpy().dtype


class Harmful:
    def __reduce__(self):
        return os.system, ("exit 1",)


def test_a_pickle_that_names_other_functions_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "harmful.pth"
    parts = torch_weights.MAGIC_NUMBER, torch_weights.PROTOCOL_VERSION, {}, Harmful()
    file.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    monkeypatch.setattr(os, "system", lambda _: pytest.fail("it was called"))
    with pytest.raises(ValueError, match=r"it names (posix|nt|os)\.system"):
        torch_weights.read_weights(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", pickle.dumps(3) * 4])
def test_other_files_are_refused(content, tmp_path):
    file = tmp_path / "other.pth"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.pth"):
        torch_weights.read_weights(file)


def test_a_file_that_was_cut_off_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    file = save({"matrix": torch.randn(30, 5)}, tmp_path / "cut.pth")
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ValueError, match="cannot be read"):
        torch_weights.read_weights(file)


def test_strides_are_those_of_the_padding_of_tensorflow():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 8, 8, 2)).astype("float32")
    kernel = rng.standard_normal((3, 3, 2, 1)).astype("float32")
    expected = tf.nn.depthwise_conv2d(x, kernel, [1, 2, 2, 1], "SAME")
    inputs = keras.Input((8, 8, 2))
    padding = keras.layers.ZeroPadding2D(1)
    convolution = keras.layers.DepthwiseConv2D(3, strides=2, use_bias=False)
    model = keras.Model(inputs, convolution(padding(inputs)))
    convolution.set_weights([kernel])
    assert not np.allclose(model(x), expected, atol=1e-3)
    image_network.pad_as_tensorflow(padding, model)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)


def test_features_are_computed_once(tmp_path):
    asked = []

    def load_images(numbers):
        asked.append(len(numbers))
        return np.full((len(numbers), 10, 10, 3), numbers[0], "uint8")

    data = QuestionData("mine", None, None, 40, load_images)
    inputs = keras.Input((8, 8, 3))
    pool = keras.layers.AveragePooling2D(4)
    network = keras.Model(inputs, pool(inputs))
    features = grid_features.of_images(data, tmp_path, network)
    assert features.shape == (40, 4, 3) and features.dtype == "float16"
    np.testing.assert_allclose(features[:, 0, 0], [0.0] * 32 + [32.0] * 8)
    again = grid_features.of_images(data, tmp_path, network=None)
    np.testing.assert_array_equal(again, features)
    assert asked == [32, 8]
    assert [file.name for file in tmp_path.iterdir()] == ["mine_efficientnet_lite0.npy"]


@pytest.mark.slow
def test_it_knows_what_is_on_a_photo(tmp_path):
    """The weights that are fetched, on a portrait of an admiral."""
    file = fetching.fetch(fetching.EFFICIENTNET_LITE0) / grid_features.WEIGHTS
    network = image_network.load(file)
    assert network.output_shape == (None, 7, 7, image_network.FEATURES)
    matplotlib = pytest.importorskip("matplotlib")
    photo = matplotlib.image.imread(
        matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    )
    image = keras.ops.image.resize(photo[None].astype("float32"), (224, 224))
    logits = image_network.classifier(network, file).predict(image, verbose=0)[0]
    best = np.argsort(logits)[-5:]
    # military uniform, mortarboard, suit, bearskin, Windsor tie: ImageNet's classes
    assert 652 in best
