"""alignment_report."""

import numpy as np
import pytest
import small_models

from keras_align.conversion import align_model
from keras_align.diagnostics import alignment_report

pytestmark = pytest.mark.slow_on("jax")


def test_the_report_is_a_table_and_data():
    model = align_model(small_models.functional(), "ct", 0.5, layers="cross")
    report = alignment_report(model)
    plain, aligned = report.to_dicts()
    assert plain == {
        "path": "self",
        "class_name": "MultiHeadAttention",
        "num_heads": 2,
        "head_size": 8,
        "alignment": None,
        "alignment_weight": None,
        "added_weights": 0,
        "note": "plain",
    }
    assert (aligned["num_heads"], aligned["head_size"]) == (4, 4)
    added = sum(np.prod(w.shape) for w in model.get_layer("cross").alignment.weights)
    assert aligned["added_weights"] == report.added_weights == added
    lines = str(report).splitlines()
    assert len(lines) == 5 and repr(report) == str(report)
    table = report._repr_html_()
    assert table.count("<tr>") == 3 and table.endswith(f"<p>{lines[-1]}</p>")
    assert all(f"<td>{row.path}</td>" in table for row in report.rows)
    assert "1 of 2 attention layers aligned" in lines[-1]


def test_the_report_says_that_an_aligned_layer_is_frozen():
    model = small_models.functional()
    model.get_layer("self").trainable = False
    notes = [row.note for row in alignment_report(align_model(model)).rows]
    assert notes == ["frozen", ""]
