"""The shortest useful program: alignment attention in a functional Keras model.

    python examples/quickstart/functional_model.py

classifies the handwritten digits that come with scikit-learn (8 x 8 pixels, whose
rows are read as 8 tokens), saves the trained model and loads it again.
"""

import argparse
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

import quiet_tensorflow

quiet_tensorflow.load()

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_align


def build_model():
    """Returns a classifier with one attention layer."""
    inputs = keras.Input((8, 8))
    x = keras.layers.Dense(64)(inputs)
    x += keras_align.AlignedMultiHeadAttention(num_heads=4, key_dim=16, alignment="ct")(
        x, x
    )
    x = keras.layers.Flatten()(keras.layers.LayerNormalization()(x))
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))


def main(arguments=None):
    """Trains, tests, saves and reloads."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--output", type=pathlib.Path, default="digits.keras")
    options = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype("float32") / 16
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=0.25, random_state=0, stratify=labels
    )
    model = build_model()
    model.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy", keras_align.ExpectedCalibrationError(name="ece")],
        jit_compile=True,
    )
    model.fit(x_train, y_train, batch_size=64, epochs=options.epochs, verbose=2)
    results = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    print(f"test accuracy {results['accuracy']:.3f}, ECE {results['ece']:.3f}")

    model.save(options.output)
    loaded = keras.saving.load_model(options.output)
    before = model.predict(x_test, verbose=0)
    after = loaded.predict(x_test, verbose=0)
    print(f"saved to {options.output} and loaded")
    print(f"largest change of a prediction: {np.abs(before - after).max():g}")


if __name__ == "__main__":
    main()
