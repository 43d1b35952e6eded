"""VQA-v2 in its usual files, with bottom-up features of regions.

    vqa_v2/
        v2_OpenEnded_mscoco_train2014_questions.json, ..._val2014_questions.json
        v2_mscoco_train2014_annotations.json, v2_mscoco_val2014_annotations.json
        features/<image id>.npy or .npz ("features" or "x"), (regions, 2048) each

Source: Goyal et al., "Making the V in VQA Matter", CVPR 2017; Anderson et al.,
"Bottom-Up and Top-Down Attention", CVPR 2018.
"""

import collections
import json
import re

import numpy as np
from question_data import QuestionData, Questions

REGIONS = 100  # of an image at most; more are left out
ARTICLES = {"a", "an", "the"}
DIGITS = "zero one two three four five six seven eight nine ten"
NUMBERS = {word: str(k) for k, word in enumerate(DIGITS.split(" "))}
PUNCTUATION = re.compile(r"(?!<=\d)\.(?!\d)|[;/\[\]\"{}()=+\\_\-><@`,?!]")


def load_vqa_v2(folder):
    """Returns a `QuestionData` of the training and validation parts."""
    parts = {part: _part(folder, f"{part}2014") for part in ("train", "val")}
    ids = sorted({image for _, images, _, _ in parts.values() for image in images})
    number = {image: k for k, image in enumerate(ids)}
    train, test = (
        Questions(texts, np.array([number[i] for i in images]), answers, kinds)
        for texts, images, answers, kinds in parts.values()
    )

    def load_features(indices):
        return _padded([_features(folder / "features", ids[k]) for k in indices])

    return QuestionData("vqa_v2", train, test, len(ids), load_features)


def soft_accuracies(answers):
    """Returns the score of every answer that one of the ten people gave.

    min(number of people who gave it / 3, 1), averaged over all subsets of nine, as the
    official evaluation does.
    """
    count, people = collections.Counter(map(normalize, answers)), len(answers)
    return {
        answer: (given * min((given - 1) / 3, 1) + (people - given) * min(given / 3, 1))
        / people
        for answer, given in count.items()
    }


def normalize(answer):
    """Returns an answer in lower case, without articles and punctuation."""
    words = PUNCTUATION.sub("", answer.lower().strip()).split()
    words = [NUMBERS.get(word, word) for word in words if word not in ARTICLES]
    return " ".join(words)


def _part(folder, part):
    """Returns texts, image ids, answers and kinds of a part."""
    file = folder / f"v2_OpenEnded_mscoco_{part}_questions.json"
    questions = json.loads(file.read_text("utf-8"))["questions"]
    file = folder / f"v2_mscoco_{part}_annotations.json"
    annotations = json.loads(file.read_text("utf-8"))["annotations"]
    answered = {row["question_id"]: row for row in annotations}
    rows = [answered[row["question_id"]] for row in questions]
    return (
        [row["question"] for row in questions],
        [row["image_id"] for row in questions],
        [soft_accuracies([x["answer"] for x in row["answers"]]) for row in rows],
        [row.get("answer_type", "other") for row in rows],
    )


def _features(folder, image):
    for file in (folder / f"{image}.npy", folder / f"{image}.npz"):
        if file.exists():
            loaded = np.load(file)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded:
                return loaded["features" if "features" in loaded.files else "x"]
    raise FileNotFoundError(f"{folder / str(image)}.npy or .npz")


def _padded(features):
    """Returns `(k, REGIONS, D)`, zeros where an image has fewer regions."""
    features = [x[:REGIONS] for x in features]
    return np.stack([np.pad(x, ((0, REGIONS - len(x)), (0, 0))) for x in features])
