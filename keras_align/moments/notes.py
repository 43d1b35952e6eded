"""Which layers have matched moments, for reports; forgotten when a model is saved."""

import weakref

import keras

_NOTES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def note_match(layer: keras.layers.Layer, text: str) -> None:
    """Notes what was matched in a layer, or why nothing was."""
    _NOTES[layer] = text


def match_of(layer: keras.layers.Layer) -> str:
    """What was noted, an empty string if nothing."""
    return _NOTES.get(layer, "")
