"""How well text classifiers stand attacks."""

from keras_align.robustness.attacks import CharacterAttack, WordSwapAttack
from keras_align.robustness.encoder_similarity import EncoderSimilarity
from keras_align.robustness.keras_model_wrapper import KerasModelWrapper
from keras_align.robustness.measuring import Robustness, measure_robustness
from keras_align.robustness.word_attack import Attacked, WordAttack

__all__ = [
    "Attacked",
    "CharacterAttack",
    "EncoderSimilarity",
    "KerasModelWrapper",
    "Robustness",
    "WordAttack",
    "WordSwapAttack",
    "measure_robustness",
]
