"""What judging writes down."""

from __future__ import annotations

import json

import pyarrow.parquet as parquet

from tunewright.evaluate.evidence import SECTIONS


def read(result, name):
    return json.loads((result.folder / name).read_text())


def test_evidence_answers_under_every_heading(tiny_run):
    _, result = tiny_run
    evidence = read(result, "evidence.json")
    assert tuple(evidence) == SECTIONS
    rows = evidence["rows"]
    assert rows["in"] == rows["train"] + rows["validation"] + rows["test"] + rows["dropped"] == 90
    assert evidence["supervision"]["rows"] == rows["train"] and evidence["supervision"]["rows_cut"] == 0
    assert evidence["audits"]["bias"]["status"] == "UNMEASURED"
    assert evidence["origin"]["seed"] == 17


def test_the_verdict_names_its_bars_and_sorts_the_ladder(tiny_run):
    _, result = tiny_run
    verdict = read(result, "verdict.json")
    assert verdict["lines"] and verdict["outcome"] in ("passed", "failed", "cannot tell")
    values = [step["value"] for step in verdict["ladder"]]
    assert values == sorted(values, reverse=True) and {s["rung"] for s in verdict["ladder"]} == {"model", "majority"}


def test_predictions_hold_one_line_per_rung_and_test_row(tiny_run):
    _, result = tiny_run
    table = parquet.read_table(result.folder / "predictions.parquet")
    test_rows = read(result, "data/splits.json")["test"]
    assert table.num_rows == 2 * len(test_rows)
    assert set(table.column("row_id").to_pylist()) == set(test_rows)


def test_the_report_and_the_card_name_the_run(tiny_run):
    _, result = tiny_run
    for name in ("report.html", "MODEL_CARD.md"):
        assert result.id in (result.folder / name).read_text()
