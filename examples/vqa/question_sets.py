"""The data sets: easy-VQA, DAQUAR, VQA-RAD and VQA-v2, as `QuestionData`."""

import gzip
import io
import json
import pathlib
import zipfile

import fetching
import numpy as np
from PIL import Image
from question_data import QuestionData, Questions, only
from vqa_v2 import load_vqa_v2


def load(name, data_dir=None):
    """Returns a `QuestionData`.

    Args:
        name: One of `DATA_SETS`.
        data_dir: Folder that holds the one named `name`; easy-VQA is fetched if it is
            not given.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If `data_dir` is needed and not given.
    """
    if name == "easy_vqa" and data_dir is None:
        return load_easy_vqa(fetching.fetch(fetching.EASY_VQA))
    if data_dir is None:
        raise ValueError(f"{name} needs --data-dir, the folder with {name}/")
    return DATA_SETS[name](pathlib.Path(data_dir) / name)


def load_easy_vqa(folder):
    """Coloured shapes of 64 x 64 pixels (github.com/vzhou842/easy-VQA, MIT)."""
    folder, parts, first, files = pathlib.Path(folder), [], 0, []
    for part in ("train", "test"):
        rows = json.loads((folder / part / "questions.json").read_text("utf-8"))
        texts, answers, images = zip(*rows, strict=True)
        images = np.array(images)
        parts.append(Questions(list(texts), images + first, list(map(only, answers))))
        count = images.max() + 1
        files += [folder / part / "images" / f"{k}.png" for k in range(count)]
        first += count
    return QuestionData("easy_vqa", *parts, len(files), _reader(files))


def load_daquar(folder):
    """Photos of rooms (Malinowski and Fritz, NeurIPS 2014), the full set.

    A question with several answers, as "chair, table", has the list as its answer, as
    usual for classifiers.
    """
    rows = {part: _rows(folder / f"{part}.jsonl.gz") for part in ("train", "test")}
    names = sorted({row["image"] for part in rows.values() for row in part})
    number = {name: k for k, name in enumerate(names)}
    parts = [
        Questions(
            [row["question"] for row in part],
            np.array([number[row["image"]] for row in part]),
            [only(row["answer"]) for row in part],
        )
        for part in rows.values()
    ]
    images = folder / "images_320x240_jpg.zip"
    read = _zip_reader(images, [f"{name}.jpg" for name in names])
    return QuestionData("daquar", *parts, len(names), read)


def load_vqa_rad(folder):
    """Radiology images and questions of clinicians (Lau et al. 2018).

    All images of the test are in training, too, with other questions, and a few
    questions; answers to new images are likely worse than the test says.
    """
    with np.load(folder / "images_224_gray.npz") as arrays:
        grey, names = arrays["images"], arrays["names"]
    number = {str(name): k for k, name in enumerate(names)}
    parts = []
    for part in ("train", "test"):
        rows = _rows(folder / f"{part}.jsonl.gz")
        parts.append(
            Questions(
                [row["question"] for row in rows],
                np.array([number[row["image"]] for row in rows]),
                [only(row["answer"]) for row in rows],
                [row["answer_type"] for row in rows],
            )
        )
    return QuestionData(
        "vqa_rad",
        *parts,
        len(names),
        lambda indices: np.repeat(grey[indices][..., None], 3, axis=-1),
    )


DATA_SETS = {
    "easy_vqa": load_easy_vqa,
    "daquar": load_daquar,
    "vqa_rad": load_vqa_rad,
    "vqa_v2": load_vqa_v2,
}


def _rows(file):
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def _reader(files):
    def load_images(indices):
        return np.stack([_pixels(files[index].read_bytes()) for index in indices])

    return load_images


def _zip_reader(file, names):
    archive = zipfile.ZipFile(file)
    inside = {pathlib.PurePosixPath(name).name: name for name in archive.namelist()}

    def load_images(indices):
        return np.stack([_pixels(archive.read(inside[names[k]])) for k in indices])

    return load_images


def _pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
