"""The notebooks run, and the outputs that they hold are whole and of no machine."""

import pathlib
import re

import nbclient
import nbformat
import pytest

pytestmark = pytest.mark.backends("tensorflow")

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
# A path of a machine, a terminal's colours, or what a library says on stderr.
UNWANTED = re.compile(r"/(home|root|tmp|usr|opt|Users|work)/|[A-Z]:\\|\x1b|Warning:")


def read(name):
    return nbformat.read(FOLDER / name, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(output):
    """All that an output shows as text."""
    data = output.get("data", {})
    kept = [data[kind] for kind in data if kind.startswith("text/")]
    return [output.get("text", ""), *output.get("traceback", []), *kept]


def faults(notebook):
    """What should not be in the outputs of a notebook."""
    for number, cell in enumerate(code_cells(notebook)):
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield number, output.output_type, texts(output)
            yield from (
                (number, found[0])
                for text in texts(output)
                for found in UNWANTED.finditer(text)
            )


def pictures(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_stored_outputs(name):
    notebook = read(name)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    assert list(faults(notebook)) == []
    assert pictures(notebook) >= 3


def test_faults_are_found():
    output = nbformat.v4.new_output("stream", name="stdout", text="kept in /home/me")
    cell = nbformat.v4.new_code_cell("1", outputs=[output])
    assert list(faults(nbformat.v4.new_notebook(cells=[cell]))) == [(0, "/home/")]
    output.text, output.name = "slow", "stderr"
    assert len(list(faults(nbformat.v4.new_notebook(cells=[cell])))) == 1


@pytest.mark.slow  # with the model and the sentences of the first, both long
@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of nbclient's parts
def test_notebook_runs(name):
    notebook, kept = read(name), pictures(read(name))
    for cell in code_cells(notebook):
        cell.outputs = []
    nbclient.NotebookClient(
        notebook,
        timeout=1800,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
    ).execute()
    assert list(faults(notebook)) == []
    assert pictures(notebook) == kept
