"""WUPS: how near an answer is to the true one among the nouns of WordNet.

Source: Malinowski and Fritz, "A Multi-World Approach to Question Answering about
Real-World Scenes based on Uncertain Input", NeurIPS 2014, equation 9.
"""

import numpy as np

THRESHOLD = 0.9
DOWN_WEIGHT = 0.1


def wups(answers, truths, similarity, threshold=THRESHOLD):
    """Returns the mean score of answers, each a list of words in one string.

    Args:
        answers: List of strings, as `"chair, table"`.
        truths: List of strings.
        similarity: Function of two words, from 0 to 1, as that of
            `wordnet_nouns.Nouns`.
        threshold: Float: lower similarities count a tenth. 0.0 and 0.9 are usual.
    """

    def score(word, other):
        near = 1.0 if word == other else similarity(word, other)
        return near if near >= threshold else near * DOWN_WEIGHT

    scores = []
    for answer, truth in zip(answers, truths, strict=True):
        given, wanted = words_of(answer), words_of(truth)
        pairs = np.array([[score(a, b) for b in wanted] for a in given])
        scores.append(min(pairs.max(axis=1).prod(), pairs.max(axis=0).prod()))
    return float(np.mean(scores))


def words_of(answer):
    """Returns the words of an answer, without repetitions."""
    return list(dict.fromkeys(word.strip() for word in answer.split(",")))
