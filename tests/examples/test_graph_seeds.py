"""`benchmarks/graph_seeds.py`: many seeds at once are the same as each alone."""

import importlib.util
import pathlib

import best_of_both
import graph_results
import numpy as np
import pytest
from test_node_classification import write_graph

pytestmark = pytest.mark.backends("jax")
FILE = pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "graph_seeds.py"


@pytest.fixture(scope="module")
def graph_seeds():
    spec = importlib.util.spec_from_file_location("graph_seeds", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_seeds_together_are_those_alone(graph_seeds, tmp_path, monkeypatch):
    monkeypatch.setattr(graph_seeds, "EPOCHS", 3)
    write_graph(tmp_path, density=0.02)  # sparse
    rows = []
    for at_once in ("3", "1"):
        output = tmp_path / f"{at_once}.csv"
        arguments = ["--data-dir", str(tmp_path), "--output", str(output)]
        arguments += ["--methods", "soft,mmd", "--seeds", "3", "--epochs", "9"]
        graph_seeds.main([*arguments, "--patience", "4", "--at-once", at_once])
        rows.append(graph_results.Runs(output).rows)
        before = output.read_text()
        graph_seeds.main([*arguments, "--patience", "4", "--at-once", at_once])
        assert output.read_text() == before  # nothing is run again
    order = [(method, str(seed)) for method in ("soft", "mmd") for seed in range(3)]
    for each in rows:
        assert sorted((row["method"], row["seed"]) for row in each) == sorted(order)
    alone = {(row["method"], row["seed"]): row for row in rows[1]}
    for row in rows[0]:
        other = alone[row["method"], row["seed"]]
        for name in ("nll", "epochs_run", "best_epoch", "mmd"):
            assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-3)
        assert 0 < int(float(row["epochs_run"])) <= 9


@pytest.mark.parametrize(
    "arguments", [["--dataset", "cora"], ["--dataset", "actor", "--random-splits"]]
)
def test_folds_are_those_of_actor(graph_seeds, arguments, tmp_path, capsys):
    output = ["--output", str(tmp_path / "runs.csv"), "--all-folds"]
    with pytest.raises(SystemExit):
        graph_seeds.main([*arguments, *output])
    assert "--all-folds is for the splits of Actor alone" in capsys.readouterr().err


def test_the_rule_is_that_of_the_callback(graph_seeds):
    class Model:
        stop_training = False

        def get_weights(self):
            return self.epoch

        def set_weights(self, weights):
            self.restored = weights

    rng = np.random.default_rng(0)
    losses = np.round(rng.random(40), 1).astype("float32")
    accuracies = np.round(rng.random(40), 1).astype("float32")
    rule = best_of_both.BestOfBoth("loss", "accuracy", patience=6)
    rule.set_model(model := Model())
    model.epoch = 0
    rule.on_train_begin()
    trainer = object.__new__(graph_seeds.Trainer)
    trainer.settings = graph_seeds.graph_training.Settings(patience=6)
    names = ("waited", "best_epoch", "epochs_run")
    state = {"lowest": np.inf, "highest": 0.0}
    state |= dict.fromkeys(names, 0)
    for epoch, logs in enumerate(zip(losses, accuracies, strict=True)):
        if not model.stop_training:
            model.epoch = epoch + 1
            rule.on_epoch_end(epoch, dict(zip(("loss", "accuracy"), logs, strict=True)))
        state, _ = trainer.judge(state, *logs)
    assert model.stop_training
    assert int(state["epochs_run"]) == model.epoch
    assert int(state["best_epoch"]) == rule.kept
