"""Questions about images, as every data set gives them, and their numbers."""

import dataclasses
import re

import numpy as np

PADDING, UNKNOWN = 0, 1
HELD_OUT, HELD_OUT_TITLE = 0.2, " held out"
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


@dataclasses.dataclass(frozen=True)
class Questions:
    """A part of a data set; lists and arrays have an entry for every question.

    Args:
        texts: List of strings.
        images: Integer array, the numbers of the images.
        answers: List of dictionaries from answers to their scores: 1.0 for the answer,
            or the soft accuracies of several.
        kinds: List of strings, as `"OPEN"`, or `None`.
    """

    texts: list
    images: np.ndarray
    answers: list
    kinds: list | None = None

    def __len__(self):
        return len(self.texts)

    def take(self, indices):
        """Returns some of the questions."""
        kinds = self.kinds and [self.kinds[i] for i in indices]
        return Questions(
            [self.texts[i] for i in indices],
            self.images[indices],
            [self.answers[i] for i in indices],
            kinds,
        )


@dataclasses.dataclass(frozen=True)
class QuestionData:
    """A data set.

    Args:
        name: String.
        train: `Questions`.
        test: `Questions`.
        num_images: Integer.
        load_images: Function from an integer array to uint8 images `(k, H, W, 3)`, or
            to float features of regions `(k, R, D)`.
    """

    name: str
    train: Questions
    test: Questions
    num_images: int
    load_images: object

    def held_out(self, share=HELD_OUT):
        """Returns the data with a share of the images of training as the test.

        These are the same for every seed; all questions about them are in the test.
        """
        images = np.unique(self.train.images)
        order = np.random.default_rng(0).permutation(images)
        test = np.isin(self.train.images, order[: round(share * len(order))])
        return dataclasses.replace(
            self,
            name=f"{self.name}{HELD_OUT_TITLE}",
            train=self.train.take(np.flatnonzero(~test)),
            test=self.train.take(np.flatnonzero(test)),
        )


def only(answer):
    """Returns the scores of a question that has one answer."""
    return {answer: 1.0}


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Words and answers that training has seen, and their numbers.

    Args:
        words: Dictionary from words to ids, from 2; 0 is padding, 1 any other word.
        answers: List of strings.
        length: Integer, most words of a question; more are cut off.
    """

    words: dict
    answers: list
    length: int

    @classmethod
    def of(cls, questions, length=14, most_answers=None):
        """Returns that of the questions of training, frequent answers first."""
        count = {}
        for scores in questions.answers:
            for answer, score in scores.items():
                count[answer] = count.get(answer, 0.0) + score
        answers = sorted(count, key=lambda answer: (-count[answer], answer))
        words = sorted({word for text in questions.texts for word in split(text)})
        longest = max(len(split(text)) for text in questions.texts)
        return cls(
            {word: number for number, word in enumerate(words, start=2)},
            answers[:most_answers],
            min(length, longest),
        )

    @property
    def num_words(self):
        """Number of ids."""
        return len(self.words) + 2

    def ids(self, texts):
        """Returns int32 ids `(n, length)`."""
        ids = np.full((len(texts), self.length), PADDING, "int32")
        for row, text in enumerate(texts):
            found = [self.words.get(word, UNKNOWN) for word in split(text)]
            ids[row, : len(found)] = found[: self.length]
        return ids

    def scores(self, questions):
        """Returns float32 `(n, answers)`: 0 everywhere if training had no such one."""
        number = {answer: k for k, answer in enumerate(self.answers)}
        scores = np.zeros((len(questions), len(self.answers)), "float32")
        for row, of_question in enumerate(questions.answers):
            for answer, score in of_question.items():
                if answer in number:
                    scores[row, number[answer]] = score
        return scores

    def labels(self, questions):
        """Returns the number of the best answer `(n,)`, -1 if training had none."""
        scores = self.scores(questions)
        return np.where(scores.any(axis=1), scores.argmax(axis=1), -1)


def split(text):
    """Returns the words of a question in lower case."""
    return WORD.findall(text.lower())
