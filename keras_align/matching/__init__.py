"""Giving keys and queries equal moments in closed form, without training."""

from keras_align.matching.matched_moments import MatchedMoments
from keras_align.matching.moment_matching import match_moments

__all__ = ["MatchedMoments", "match_moments"]
