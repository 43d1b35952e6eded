"""Which layers have matched moments, for reports; forgotten when a model is saved."""

import weakref

import keras

_NOTES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def note_match(layer: keras.layers.Layer, text: str, owner: object) -> None:
    """Notes for `owner` what was matched in a layer, or why nothing was."""
    _NOTES.setdefault(layer, {})[owner] = text


def forget_matches(owner: object) -> None:
    """Drops the notes of one owner; those before and after it stay."""
    for notes in _NOTES.values():
        notes.pop(owner, None)


def match_of(layer: keras.layers.Layer) -> str:
    """What was noted last, an empty string if nothing."""
    return next(reversed(_NOTES.get(layer, {}).values()), "")
