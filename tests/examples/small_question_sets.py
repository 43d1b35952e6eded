"""Small data sets of questions, in the layout of the real ones."""

import gzip
import io
import json
import zipfile

import numpy as np
from PIL import Image

COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250)}


def png(colour, size=32):
    """Bytes of an image of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(stream, "PNG")
    return stream.getvalue()


def write_easy_vqa(folder, images=12):
    """Images of one colour each, and two questions about every one."""
    names = list(COLOURS)
    for part in ("train", "test"):
        (folder / part / "images").mkdir(parents=True)
        rows = []
        for k in range(images):
            name = names[k % len(names)]
            file = folder / part / "images" / f"{k}.png"
            file.write_bytes(png(COLOURS[name]))
            is_red = "yes" if name == "red" else "no"
            rows += [["what colour is it?", name, k], ["is it red?", is_red, k]]
        (folder / part / "questions.json").write_text(json.dumps(rows))
    return folder


def write_daquar(folder):
    """Two photos for training, one for the test, whose second answer is new."""
    folder.mkdir(parents=True)
    rows = {
        "train": [("image2", "what is left ?", "chair"), ("image1", "how many ?", "2")],
        "test": [("image3", "what is it ?", "chair"), ("image3", "what ?", "lamp, tv")],
    }
    for part, of_part in rows.items():
        with gzip.open(folder / f"{part}.jsonl.gz", "wt") as stream:
            for image, question, answer in of_part:
                row = {"image": image, "question": question, "answer": answer}
                stream.write(json.dumps(row) + "\n")
    with zipfile.ZipFile(folder / "images_320x240_jpg.zip", "w") as archive:
        for k, colour in enumerate(COLOURS.values(), start=1):
            archive.writestr(f"images/image{k}.jpg", png(colour))
    return folder


def write_vqa_rad(folder):
    """Two grey images and an open and a closed question."""
    folder.mkdir(parents=True)
    np.savez(
        folder / "images_224_gray.npz",
        images=np.arange(2 * 9, dtype="uint8").reshape(2, 3, 3),
        names=["a.jpg", "b.jpg"],
    )
    for part in ("train", "test"):
        with gzip.open(folder / f"{part}.jsonl.gz", "wt") as stream:
            for image, answer, kind in (("b", "yes", "CLOSED"), ("a", "lung", "OPEN")):
                row = {"image": f"{image}.jpg", "question": "Is it?", "answer": answer}
                stream.write(json.dumps(row | {"answer_type": kind}) + "\n")
    return folder


def write_vqa_v2(folder):
    """A question about each of four images, answered by ten people."""
    (folder / "features").mkdir(parents=True)
    for k, part in enumerate(("train", "val")):
        questions, annotations = [], []
        for image in (2 * k + 1, 2 * k + 2):
            key = {"question_id": 10 * image, "image_id": image}
            answers = ["yes"] * 7 + ["No."] * 2 + ["the two"]
            people = [{"answer": answer} for answer in answers]
            questions.append(key | {"question": "Is it so?"})
            annotations.append(key | {"answers": people, "answer_type": "yes/no"})
            features = np.full((image + 1, 5), float(image), "float32")
            file = folder / "features" / str(image)
            np.save(f"{file}.npy", features) if k else np.savez(
                f"{file}.npz", x=features
            )
        for name, rows in {"questions": questions, "annotations": annotations}.items():
            kind = "OpenEnded_" if name == "questions" else ""
            file = folder / f"v2_{kind}mscoco_{part}2014_{name}.json"
            file.write_text(json.dumps({name: rows}))
    return folder


# thing - furniture - seat - chair, furniture - table (also: data), thing - data
NOUNS = """  1 The licence of the database is indented.
00000001 03 n 01 thing 0 001 ~ 00000002 n 0000 | what there is
00000002 06 n 02 furniture 0 piece_of_furniture 0 001 @ 00000001 n 0000 | in rooms
00000003 06 n 01 seat 0 002 @ 00000002 n 0000 + 00000009 v 0101 | to sit on
00000004 06 n 01 chair 0 001 @ 00000003 n 0000 | with a back
00000005 06 n 01 table 0 001 @ 00000002 n 0000 | with a top
00000006 09 n 02 data 0 table 1 001 @i 00000001 n 0000 | in rows
"""
WORDS = """  1 The licence of the database is indented.
chair n 1 1 @ 1 1 00000004
furniture n 1 2 @ ~ 1 1 00000002
seat n 1 2 @ ~ 1 0 00000003
shelf n 1 1 @ 1 0 00000003
table n 2 1 @ 2 1 00000005 00000006
"""


def write_wordnet(folder):
    """Writes the nouns of a small WordNet and returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.noun").write_text(NOUNS)
    (folder / "index.noun").write_text(WORDS)
    (folder / "noun.exc").write_text("shelves shelf\n")
    return folder
