"""The card says what was recorded and no more."""

from dataclasses import replace

import pytest
import yaml

from tunewright.evaluate import card
from tunewright.evaluate.evidence import build_evidence
from tunewright.evaluate.report import spell
from tunewright.evaluate.tallies import FAMILIES
from tunewright.recipe.tasks import KINDS


def test_the_card_carries_figures_gate_and_origin_with_valid_front_matter(report, tmp_path) -> None:
    facts, evidence = report(rows=300)
    path = card.write_card(tmp_path, evidence=evidence, figures=facts)
    text = path.read_text(encoding="utf-8")
    assert path.name == "MODEL_CARD.md" and yaml.safe_load(text.split("---")[1])["base_model"] == "minilm"
    assert f"| macro F1 | {facts.results.model.figures['macro_f1'].value:.3f} |" in text
    assert evidence["origin"]["data_sha256"] in text and f"**{facts.verdict.outcome}**" in text


def test_what_was_not_measured_is_said_to_be(report) -> None:
    facts, _ = report(rows=300)
    text = card.render_card(evidence=build_evidence(results=facts.results), figures=facts)
    for heading in ("parity", "effect", "origin", "audits · bias"):
        assert f"- {heading}: UNMEASURED" in text


def test_text_cannot_break_out_of_its_cell(report) -> None:
    facts, evidence = report(rows=300)
    evil = "a | b\n# <img> `x` *y*"
    facts = replace(facts, task=evil, settings=(replace(facts.settings[0], reason=evil),))
    text = card.render_card(evidence=evidence, figures=facts)
    assert r"a \| b \# \<img\> \`x\` \*y\*" in text and "<img>" not in text
    assert card.escape("macro_f1 _x_") == r"macro_f1 \_x\_"


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_the_card_of_every_kind_spells_its_figures(kind, report) -> None:
    facts, evidence = report(rows=60, kind=kind, metric=KINDS[kind].metric)
    text = card.render_card(evidence=evidence, figures=facts)
    for name, seen in facts.results.model.figures.items():
        assert f"| {spell(name)} | {seen.value:.3f} |" in text
    assert ("Labels: firm" in text) == (kind == "token_classification")


def test_a_weak_label_of_spans_is_told_by_its_spans(report) -> None:
    facts, evidence = report(rows=60, kind="token_classification", metric="span_f1")
    facts = replace(facts, classes=(replace(facts.classes[0], f1=0.2, rows=7),))
    assert "- label firm: F1 0.200 on 7 spans" in card.render_card(evidence=evidence, figures=facts)
