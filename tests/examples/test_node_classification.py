"""`node_classification.py`: its data, its rule, and the whole on a small graph."""

import csv
import pathlib
import pickle

import best_of_both
import citation_graphs
import graph_results
import graph_scores
import keras
import node_classification
import numpy as np
import pytest
from scipy import sparse

pytestmark = [
    pytest.mark.backends("tensorflow"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
NODES, CLASSES, SIZE = 90, 3, 40


def write_graph(folder, name="cora", density=0.2):
    """Writes a small graph as `planetoid/NAME.npz`."""
    rng = np.random.default_rng(0)
    labels = np.arange(NODES) % CLASSES
    features = (rng.random((NODES, SIZE)) < density).astype("float32")
    features[np.arange(NODES), labels] = 1.0
    links = rng.integers(0, NODES, (500, 2))
    links = links[labels[links[:, 0]] == labels[links[:, 1]]]
    matrix, order = sparse.csr_matrix(features), rng.permutation(NODES)
    (folder / "planetoid").mkdir(exist_ok=True)
    np.savez(
        folder / "planetoid" / f"{name}.npz",
        feat_data=matrix.data, feat_indices=matrix.indices,
        feat_indptr=matrix.indptr, feat_shape=matrix.shape, labels=labels,
        edges=links, idx_train=order[:30], idx_val=order[30:50], idx_test=order[50:],
    )  # fmt: skip
    return folder


def test_rows_sum_to_one_and_links_go_both_ways(tmp_path):
    graph = citation_graphs.load("cora", write_graph(tmp_path))
    np.testing.assert_allclose(graph.features.sum(axis=1), 1.0, rtol=1e-5)
    pairs = set(map(tuple, graph.edges))
    assert pairs == {(b, a) for a, b in pairs} and len(pairs) == len(graph.edges)
    assert all(a != b for a, b in pairs)


def test_random_splits_have_the_standard_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(citation_graphs, "VALIDATION", 25)
    monkeypatch.setattr(citation_graphs, "TEST", 50)
    graph = citation_graphs.load("cora", write_graph(tmp_path))
    split = graph.random_split(3, labels_a_class=5).split
    assert np.bincount(graph.labels[split["train"]]).tolist() == [5, 5, 5]
    assert not set(split["train"]) & set(split["validation"])
    assert [len(part) for part in split.values()] == [15, 25, 50]
    with pytest.raises(ValueError, match="6 labels a class are too many"):
        graph.random_split(3, labels_a_class=6)
    with pytest.raises(ValueError, match="smallest class has 30 nodes"):
        graph.random_split(3, labels_a_class=31)
    again = graph.random_split(3, labels_a_class=5).split
    np.testing.assert_array_equal(split["train"], again["train"])


def test_planetoid_files_with_a_gap_in_the_tested_nodes(tmp_path):
    """As Citeseer: a node of the test range that is not in the test set."""
    folder = tmp_path / "citeseer"
    folder.mkdir()
    eye = np.eye(4, dtype="float32")
    parts = {
        "allx": sparse.csr_matrix(eye[[0, 1, 2]]),
        "ally": np.eye(2)[[0, 1, 0]],
        "tx": sparse.csr_matrix(eye[[3, 2]]),
        "ty": np.eye(2)[[1, 0]],
        "y": np.eye(2)[[0]],
        "graph": {0: [1, 0], 1: [0], 2: [5], 3: [], 4: [], 5: [2]},
    }
    for part, value in parts.items():
        (folder / f"ind.citeseer.{part}").write_bytes(pickle.dumps(value))
    (folder / "ind.citeseer.test.index").write_text("5\n3\n")
    graph = citation_graphs._read_planetoid("citeseer", folder)
    assert graph.labels.tolist() == [0, 1, 0, 0, -1, 1]
    assert graph.features.argmax(axis=1)[[3, 5]].tolist() == [2, 3]
    assert sorted(map(tuple, graph.edges)) == [(0, 1), (1, 0), (2, 5), (5, 2)]
    assert graph.split["test"].tolist() == [3, 5]


def test_the_split_of_cora_has_twenty_nodes_a_class():
    import json

    split = json.loads(pathlib.Path(citation_graphs.CORA_SPLIT).read_text())
    assert [len(split[part]) for part in split] == [140, 500, 1000]
    assert len(set().union(*split.values())) == 1640


def test_the_rule_keeps_the_best_of_both_and_waits_for_either():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    rule = best_of_both.BestOfBoth(patience=2)
    model.stop_training = False
    rule.set_model(model)
    rule.on_train_begin()
    # Better in both; in accuracy alone; worse; worse, the end.
    logs = [(1.0, 0.5), (1.2, 0.6), (1.3, 0.5), (1.3, 0.5)]
    for epoch, (loss, accuracy) in enumerate(logs):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        rule.on_epoch_end(epoch, {"val_cross_entropy": loss, "val_accuracy": accuracy})
        assert bool(model.stop_training) == (epoch == 3)
    rule.on_train_end()
    assert rule.best_epoch == 0
    assert float(model.get_weights()[0][0, 0]) == 0.0


def test_scores_equal_those_of_numpy():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], "float32")
    scores = graph_scores.score(logits, np.array([0, 1, 1]))
    exponents = np.exp(logits)
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    expected = -np.log(probabilities[[0, 1, 2], [0, 1, 1]]).mean()
    assert scores["nll"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("density", [0.01, 0.2])
def test_features_are_sparse_where_they_are_few(tmp_path, density):
    graph = citation_graphs.load("cora", write_graph(tmp_path, density=density))
    assert graph.is_sparse == (density < 0.05)
    noisy = graph_scores.noisy_features(graph).features
    assert noisy.shape == (NODES, SIZE) and isinstance(noisy, np.ndarray)


@pytest.mark.slow
def test_the_whole_on_a_small_graph(tmp_path, capsys):
    data = str(write_graph(tmp_path, density=0.01))
    output = tmp_path / "results"
    arguments = ["--data-dir", data, "--epochs", "80", "--seeds", "2", "--no-jit"]
    arguments += ["--output", str(output), "--methods", "soft,ct"]
    node_classification.main(arguments)
    printed = capsys.readouterr().out
    assert "AA-CT - soft attention" in printed and "2 pictures" in printed
    sizes = [
        (output / f"{name}.png").stat().st_size for name in ("embeddings", "attention")
    ]
    assert min(sizes) > 10_000
    with (output / "runs.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("soft", "0"), ("soft", "1"), ("ct", "0"), ("ct", "1"),
    ]  # fmt: skip
    assert all(float(row["accuracy"]) > 0.5 for row in rows)
    node_classification.main([*arguments, "--seeds", "2"])  # everything is there
    assert "0 pictures" in capsys.readouterr().out
    assert graph_results.Runs(output / "runs.csv").rows == rows


def test_runs_of_one_seed_are_paired(tmp_path):
    """With a weight of 0 the aligned run is the soft one, to the last digit."""
    data = str(write_graph(tmp_path))
    arguments = ["--data-dir", data, "--epochs", "8", "--seeds", "1", "--no-jit"]
    arguments += ["--methods", "soft,gan", "--weight", "0", "--output", str(tmp_path)]
    node_classification.main(arguments)
    soft, gan = graph_results.Runs(tmp_path / "runs.csv").rows
    for name in graph_results.SCORES:
        assert float(soft[name]) == pytest.approx(float(gan[name]), rel=1e-4), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "soft,dot"], "of soft,gan,ct,ot,mmd, not soft,dot"),
        (["--methods", "soft,soft"], "expected different ones"),
        (["--first-seed", "-1"], "--first-seed must not be negative"),
        (["--weight", "nan"], "--weight must be a number >= 0"),
        (["--fold", "3"], "--fold is for Actor alone"),
        (["--fold", "10"], "invalid choice"),
        (["--precision", "float16"], "invalid choice"),
        (["--seeds", "0"], "--seeds must be positive"),
        (["--dataset", "citeseers"], "invalid choice"),
    ],
)
def test_what_is_wrong_is_said(arguments, message, capsys):
    with pytest.raises(SystemExit):
        node_classification.main(arguments)
    assert message in capsys.readouterr().err


def row_of(seed):
    key = {**dict.fromkeys(graph_results.KEY, "x"), "options": "", "seed": seed}
    return key, dict.fromkeys(graph_results.OF_RUN, 0.5)


@pytest.mark.parametrize("cut", [1, 4, 60])
def test_a_row_that_was_cut_off_is_run_again(tmp_path, cut):
    file = tmp_path / "runs.csv"
    runs = graph_results.Runs(file)
    for seed in range(2):
        runs.add(*row_of(seed))
    whole = file.read_text()
    file.write_text(whole[:-cut])
    runs = graph_results.Runs(file)
    assert len(runs.rows) == 1 and runs.find(row_of(1)[0]) is None
    runs.add(*row_of(1))
    assert file.read_text() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "no line", "\udcff\n"])
def test_a_file_with_other_columns_is_left(tmp_path, text):
    file = tmp_path / "runs.csv"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = file.read_bytes()
    with pytest.raises(SystemExit, match="choose another --output"):
        node_classification.main(["--output", str(tmp_path)])
    assert file.read_bytes() == before


def test_an_output_that_is_no_folder_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="error: .*file"):
        node_classification.main(["--output", str(tmp_path / "file")])


def test_actor_needs_a_folder():
    with pytest.raises(SystemExit, match="--data-dir"):
        node_classification.main(["--dataset", "actor"])
