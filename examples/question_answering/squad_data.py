"""Questions of SQuAD from its official files (Rajpurkar et al., 2016, 2018)."""

import dataclasses
import pathlib
import random

import text_files

ORDER_SEED = 20110  # which questions the first ones are belongs to the data


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about a text.

    Args:
        question: String.
        text: String.
        answers: List of strings, all references; empty if there is no answer.
        span: Tuple with the first character of the first answer in the text, and that
            behind its last, or `None`.
    """

    question: str
    text: str
    answers: list
    span: tuple | None


def read(file, count=None):
    """Returns the first `count` questions of a file, in random order.

    Args:
        file: Path of a JSON file, or of one with `.gz`.
        count: Integer, or `None` for all.

    Raises:
        ValueError: If the file has another form.
    """
    content = text_files.read_json(file)
    try:
        questions = [
            question_of(each, paragraph["context"])
            for article in content["data"]
            for paragraph in article["paragraphs"]
            for each in paragraph["qas"]
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected {file} to have the form of SQuAD's files. Received: {error!r}"
        ) from error
    if not questions:
        raise ValueError(f"Expected questions in {file}. Received: none")
    random.Random(ORDER_SEED).shuffle(questions)
    return questions[:count]


def question_of(entry, text):
    """Returns the `Question` of an entry of the file."""
    answers = [] if entry.get("is_impossible", False) is True else entry["answers"]
    span, question = None, entry["question"]
    if not isinstance(text, str) or not isinstance(question, str):
        raise ValueError(f"the question {question!r:.80} about {text!r:.80}")
    if answers:
        start, answer = answers[0]["answer_start"], answers[0]["text"]
        span = start, start + len(answer)
        if start < 0 or text[slice(*span)] != answer:
            raise ValueError(f"{answer!r}, which is not at {start} of {text!r:.80}")
    wanted = list(dict.fromkeys(answer["text"] for answer in answers))
    return Question(question, text, wanted, span)


def find(folder, name):
    """Returns the path of a file in a folder, plain or with `.gz`."""
    for file in (pathlib.Path(folder, name), pathlib.Path(folder, name + ".gz")):
        if file.is_file():
            return file
    raise ValueError(
        f"Expected {name} in the folder of the files of SQuAD. Received: "
        f"data_dir={str(folder)!r}, which has none"
    )
