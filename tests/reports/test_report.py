"""The page about two models: what stands on it, and what is refused."""

import html.parser
import os
import shutil
import subprocess

import keras
import numpy as np
import pytest

import keras_align
from keras_align.reports import comparing, examine
from keras_align.reports.elements import BEGINNING

pytestmark = pytest.mark.slow_on("jax")  # tracing takes long

VOID = {"meta", "br", "img", "input", "link"}
HOSTILE = '<script>alert(1)</script> & "quotes" \x00\u202e \ud800 caf\u00e9'


def toy(classes=2, layers=2, name="toy"):
    x = inputs = keras.Input((6, 8))
    for number in range(layers):
        attention = keras.layers.MultiHeadAttention(2, 4, name=f"attention_{number}")
        x = attention(x, x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes)(x), name=name)


def toy_data(count=40, seed=0, shown=None):
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, 6, 8)).astype("float32")
    labels = (inputs[:, 0, 0] > 0).astype(int)
    return (inputs, labels) if shown is None else (inputs, labels, shown)


class Page(html.parser.HTMLParser):
    """Tags, attributes and texts; raises where tags do not close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def text(self):
        return "".join(self.texts)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A page with all that a page can hold, and what it was made of."""
    data = {
        HOSTILE: toy_data(shown=[f"{n} {HOSTILE}" for n in range(40)]),
        "out": toy_data(seed=1),
    }
    before, after = toy(), keras_align.align_model(toy(name="toy"), "ct")
    file = keras_align.report(
        before,
        after,
        data,
        tmp_path_factory.mktemp("report") / "page.html",
        titles=(HOSTILE, "after"),
        class_names=[HOSTILE, "good"],
        settings={HOSTILE: HOSTILE},
        notes={HOSTILE: HOSTILE},
    )
    return file, before, after, data


def test_every_text_is_escaped(written):
    text = written[0].read_bytes().decode()
    page = Page(text)
    assert not page.all("script")
    assert "\x00" not in text
    assert page.text.count("<script>alert(1)</script>") > 10


def test_the_page_stands_alone(written):
    text = written[0].read_text(encoding="utf-8")
    for forbidden in ("http:", "https:", "src=", "href=", "url(", "@import"):
        assert forbidden not in text
    assert len(text) < 400_000


def test_the_page_can_be_read_aloud(written):
    page = Page(written[0].read_text(encoding="utf-8"))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert len(page.all("table")) == len(page.all("caption"))
    assert all("scope" in each for each in page.all("th"))
    assert all(x["aria-label"] and x["role"] == "img" for x in page.all("svg"))
    assert all(x["aria-label"] for x in page.all("div") if "tabindex" in x)


def test_numbers_are_those_of_the_models(written):
    file, before, after, data = written
    text = Page(file.read_text(encoding="utf-8")).text
    for model in (before, after):
        for title, (inputs, labels, *_) in data.items():
            accuracy = np.mean(model.predict(inputs, verbose=0).argmax(-1) == labels)
            assert f"{100 * accuracy:.1f}" in text, title
        inputs = data["out"][0]
        first = next(iter(data.values()))[0]
        total = keras_align.measure_alignment(model, first).total
        assert f"{total:z.2f}" in text, "total"
    answers = [x.predict(inputs, verbose=0).argmax(-1) for x in (before, after)]
    assert f"out: {np.sum(answers[0] != answers[1])} of 40 answers changed" in text
    assert "2 of 2 attention layers aligned" in text


def test_models_stay_as_they_are(tmp_path):
    model = keras_align.align_model(toy(), "mmd")
    model.compile("adam", "sparse_categorical_crossentropy")
    weights = [np.copy(x) for x in model.get_weights()]
    examine(model, toy_data())
    assert all(map(np.array_equal, weights, model.get_weights()))
    assert model.losses == []


def test_a_model_that_changes_in_place(tmp_path):
    model, data = toy(), toy_data()
    before = examine(model, data)
    keras_align.match_moments(model, data[0], moments="covariance")
    file = keras_align.report(before, model, data, tmp_path / "page.html")
    after = examine(model, data)
    text = Page(file.read_text(encoding="utf-8")).text
    assert f"{before.measure.total:.2f} (before)" in text
    assert f"{after.measure.total:z.2f} (after)" in text
    assert "0 of 40 answers changed" in text


def test_a_saved_model_and_data_without_labels(tmp_path):
    toy().save(tmp_path / "model.keras")
    data = toy_data()[0], None
    file = keras_align.report(
        str(tmp_path / "model.keras"), toy(), data, tmp_path / "page.html"
    )
    text = Page(file.read_text(encoding="utf-8")).text
    assert "What is aligned" in text
    assert "Accuracy and calibration" not in text


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_before": 3}, "model_before=3"),
        ({"model_after": toy(classes=3)}, r"classes. Received: .*\[2, 3\]"),
        ({"titles": ("same", "same")}, "two different strings"),
        ({"titles": "ab"}, "two different strings"),
        ({"class_names": ["one"]}, "2 strings"),
        ({"settings": 3}, "settings=3"),
        ({"notes": "text"}, "notes='text'"),
        ({"samples": 0}, "samples=0"),
        ({"examples": -1}, "examples=-1"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"seed": -1}, "seed=-1"),
        ({"from_logits": "yes"}, "from_logits='yes'"),
        ({"path": "."}, "path='.'"),
        ({"path": "nowhere/page.html"}, "folder that is there"),
    ],
)
def test_wrong_arguments_leave_the_last_page(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "page.html"
    file.write_text(last := BEGINNING + "the last page")
    given = {"model_before": toy(), "model_after": toy(), "data": toy_data()}
    with pytest.raises(ValueError, match=message):
        keras_align.report(**given | {"path": file} | change)
    assert file.read_text() == last
    assert os.listdir(tmp_path) == ["page.html"]


def test_other_data_than_were_examined_are_refused(tmp_path):
    model = toy()
    before = examine(model, toy_data())
    with pytest.raises(ValueError, match="others of .'data'"):
        keras_align.report(before, model, toy_data(seed=1), tmp_path / "page.html")


@pytest.mark.parametrize("options", [{"samples": 4}, {"seed": 1}])
def test_other_samples_than_were_examined_are_refused(tmp_path, options):
    model, data = toy(), toy_data()
    before = examine(model, data, **options)
    with pytest.raises(ValueError, match=f"others of .'{next(iter(options))}'"):
        keras_align.report(before, model, data, tmp_path / "page.html")


def test_no_other_file_is_replaced(tmp_path):
    toy().save(tmp_path / "model.keras")
    before = (tmp_path / "model.keras").read_bytes()
    for model in (toy(), tmp_path / "model.keras"):
        with pytest.raises(ValueError, match="a new file, or a page to replace"):
            keras_align.report(model, toy(), toy_data(), tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == before
    page = tmp_path / "page.html"
    for _ in range(2):  # the second replaces the first
        keras_align.report(toy(), toy(), (toy_data()[0], None), page)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")
def test_a_folder_that_takes_no_file_is_named_before_a_model_runs(monkeypatch):
    monkeypatch.delattr(comparing, "examine")
    with pytest.raises(OSError, match="/proc/page.html"):
        keras_align.report(toy(), toy(), toy_data(), "/proc/page.html")


def test_an_examination_prints_in_a_line():
    text = repr(examine(toy(), toy_data()))
    assert text.startswith("<Examination of 'toy': total MMD") and len(text) < 100


def test_answers_that_are_not_finite_are_counted():
    data = toy_data()
    data[0][:3] = np.inf
    with pytest.raises(ValueError, match="for 3 of 40 samples of 'data'"):
        examine(toy(), data)


def test_weights_that_are_not_finite_are_named():
    model, data = toy(), toy_data()
    layer = model.get_layer("attention_1")
    layer.key_dense.bias.assign(np.full((2, 4), np.nan, "float32"))
    with pytest.raises(ValueError, match="a key of 'attention_1' that is not"):
        examine(model, (data[0], None))


def test_counters_of_a_model_stay():
    @keras.saving.register_keras_serializable("tests")
    class Counter(keras.layers.Layer):
        def build(self, shape):
            self.calls = self.add_weight((), "zeros", trainable=False)

        def call(self, x):
            self.calls.assign_add(1.0)
            return x

    model, inputs = toy(), keras.Input((6, 8))
    counter = Counter()
    counting = keras.Model(inputs, model(counter(inputs)))
    before = float(counter.calls)
    examine(counting, toy_data())
    assert float(counter.calls) == before


def test_a_model_without_attention_is_refused():
    inputs = keras.Input((6, 8))
    plain = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    with pytest.raises(ValueError, match="attention"):
        examine(plain, toy_data())


@pytest.mark.backends("tensorflow")
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_the_page_fits_narrow_and_wide_windows(written, tmp_path):
    """Without a bar to scroll the whole page to the side."""
    shutil.copy(written[0], tmp_path / "page.html")
    frames = "".join(
        f'<iframe src="page.html" style="width:{width}px;height:900px"></iframe>'
        for width in (400, 1280)
    )
    (tmp_path / "frames.html").write_text(
        f"<body>{frames}<script>onload = () => document.title = "
        "[...document.querySelectorAll('iframe')].map(f => "
        "f.contentDocument.documentElement.scrollWidth).join(' ')</script>"
    )
    result = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        + ["--allow-file-access-from-files", "--virtual-time-budget=5000"]
        + [f"--user-data-dir={tmp_path / 'profile'}"]
        + [(tmp_path / "frames.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    title = result.stdout.split("<title>")[1].split("</title>")[0]
    narrow, wide = map(int, title.split())
    assert (narrow <= 400, wide <= 1280) == (True, True)
