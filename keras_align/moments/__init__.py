"""Means and covariances of queries and keys, and the maps that make them equal."""

from keras_align.moments.matching_map import (
    MatchingMap,
    equal_covariances,
    matching_map,
)
from keras_align.moments.moments import Moments
from keras_align.moments.notes import forget_matches, match_of, note_match

__all__ = [
    "MatchingMap",
    "Moments",
    "equal_covariances",
    "forget_matches",
    "match_of",
    "matching_map",
    "note_match",
]
