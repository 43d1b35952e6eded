"""What a release says of itself, in every place the same."""

import pathlib
import re

import pytest

import keras_align

pytestmark = pytest.mark.backends("tensorflow")

REPOSITORY = pathlib.Path(__file__).parents[1]


def read(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_dir_shows_the_public_names_alone():
    assert set(dir(keras_align)) == {*keras_align.__all__, "__version__"}
    assert sorted(keras_align.__all__) == keras_align.__all__


def test_versions_agree():
    version = re.escape(keras_align.__version__)
    assert re.search(rf"^version: {version}$", read("CITATION.cff"), re.MULTILINE)
    released = re.findall(r"^## \[(\d.*?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert released[0] == keras_align.__version__


def test_dates_agree():
    date = re.search(r"^date-released: (.*)$", read("CITATION.cff"), re.MULTILINE)[1]
    assert f"## [{keras_align.__version__}] - {date}" in read("CHANGELOG.md")


def test_the_readme_is_short():
    assert len(read("README.md").split()) <= 900
