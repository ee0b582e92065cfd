"""The programs beside saved models, run without tunewright, against what tunewright answers from the same folders."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import chats
from tests.tiny_bases import make_tiny_base

from tunewright.data.blocks import BlockEncoder
from tunewright.data.chat_template import find_template
from tunewright.data.encode import Encoder
from tunewright.data.turns import TurnEncoder
from tunewright.model.adapters import add_lora
from tunewright.model.bases import find_base
from tunewright.model.build import build_model, writes_text
from tunewright.model.describe import describe, load_tokenizer
from tunewright.model.loaders import loader_of
from tunewright.model.weights import save_model
from tunewright.serve.predictor import Predictor

TEXT, QUESTION = "where is my card please tell me now", "how do i change the pin code"
LABELS = ("a", "b", "c")
LONGEST_PROGRAM = 28  # lines


@dataclass(frozen=True)
class Case:
    family: str
    kind: str
    given: tuple[str, ...] = (TEXT,)
    outputs: int = 3
    lora: bool = False
    pooling: str = "mean"
    system: str = ""


CASES = {
    "classification": Case("bert", "classification", lora=True, pooling="cls"),
    "classification of a pair": Case("bert", "classification", given=(TEXT, QUESTION)),
    "multi-label": Case("gpt2", "multi_label", pooling="last"),
    "regression": Case("t5", "regression", outputs=1),
    "similarity": Case("bert", "similarity", given=(TEXT, QUESTION), outputs=0),
    "tags": Case("bert", "token_classification", outputs=7),
    "tags by a decoder": Case("llama", "token_classification", given=(f"{TEXT} {QUESTION}",), outputs=7, lora=True),
    "answers": Case("bert", "question_answering", given=(QUESTION, TEXT), outputs=2),
    "text by a decoder": Case("llama", "generation", system="be good"),
    "text by adapters": Case("gpt2", "generation", lora=True),
    "text by T5": Case("t5", "summarisation", lora=True),
    "text by BART": Case("bart", "translation"),
    "text that goes on": Case("llama", "pretraining"),
}


def encoder_of(case: Case, base, description) -> Any:
    tokenizer = load_tokenizer(base.folder)
    columns = tuple(f"column_{i}" for i in range(len(case.given)))
    if case.kind == "pretraining":
        return BlockEncoder(32, columns, tokenizer)
    if writes_text(case.kind):
        tokenizer.chat_template = chats.TEMPLATES["brackets"]
        template = find_template(None, tokenizer) if description.family == "decoder" else None
        return TurnEncoder(max_length=60, long="refuse", template=template, start=description.decoder_start,
                           inputs=columns, prompts=(), system=case.system, room=12, tokenizer=tokenizer)  # fmt: skip
    located = {"token_classification": 0, "question_answering": 1}.get(case.kind)
    return Encoder(60, "truncate", 0, "pair" if len(columns) == 2 else None, columns, tokenizer, located)


def save(case: Case, folder: Path) -> Path:
    """A model whose random weights are large enough that texts differ in what they get."""
    base = find_base(str(make_tiny_base(folder / "base", case.family)), root=folder)
    description = describe(base)
    model = build_model(base, description, kind=case.kind, outputs=case.outputs, pooling=case.pooling, seed=1)
    if case.lora:
        add_lora(model, rank=4, alpha=8.0, dropout=0.0, targets="linear", seed=1)
    chance = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("head.") or "lora_B" in name:
                parameter.normal_(std=0.5, generator=chance)
            elif parameter.dim() > 1 and case.family in ("llama", "bart"):
                parameter.mul_(4 if case.family == "llama" else 9)
    labels = LABELS if case.outputs in (3, 7) else ()
    encoder = encoder_of(case, base, description)
    written = encoder.to_json()
    if case.kind == "similarity":
        written = {"reads": "apart", "max_length": 60, "long": "truncate", "overlap": 0, "inputs": list(encoder.inputs)}
    save_model(model, folder / "model", encoder_json=written, labels=labels, base=base, description=description)
    return folder / "model"


_DRIVER = """
import contextlib, io, json, runpy, sys
said = []
for program, *given in json.loads(sys.argv[1]):
    sys.argv = [program, *given]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(program, run_name="__main__")
    said.append(out.getvalue())
assert not [name for name in sys.modules if name.startswith("tunewright")]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {name: save(case, tmp_path_factory.mktemp("loader")) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def said(folders) -> dict[str, str]:
    """What each program prints; one process runs them all, because importing the libraries takes seconds."""
    asked = [[str(folders[name] / "load_model.py"), *case.given] for name, case in CASES.items()]
    done = subprocess.run(
        [sys.executable, "-P", "-c", _DRIVER, json.dumps(asked)], capture_output=True, text=True, check=True
    )
    return dict(zip(CASES, json.loads(done.stdout.splitlines()[-1]), strict=True))


def answer_of(folder: Path, case: Case) -> Any:
    (prediction,) = Predictor.load(folder, dtype="float32").predict([case.given])
    return prediction


@pytest.mark.parametrize("name", list(CASES)[:5])
def test_labels_and_numbers_are_those_that_are_served(folders, said, name):
    seen, expected = json.loads(said[name]), answer_of(folders[name], CASES[name])
    known = expected.probabilities if CASES[name].outputs == 3 else {"value": expected.value}
    assert list(seen) == list(known)
    np.testing.assert_allclose(list(seen.values()), list(known.values()), atol=2e-6)
    assert len(set(np.round(list(seen.values()), 3))) > 1 or CASES[name].outputs != 3


@pytest.mark.parametrize("name", ["tags", "tags by a decoder"])
def test_tags_are_those_of_the_spans_that_are_served(folders, said, name):
    tagged, (text,) = [json.loads(line) for line in said[name].splitlines()], CASES[name].given
    assert "".join(piece.strip() for piece, _ in tagged) == text.replace(" ", "")
    predictor = Predictor.load(folders[name], dtype="float32")
    encoded = predictor._encoded([(text,)])
    likeliest = predictor.logits([text]).argmax(1)
    names = ["O", *(f"{prefix}-{label}" for label in LABELS for prefix in "BI")]
    assert [tag for _, tag in tagged] == [names[tag] for tag in likeliest] and len(encoded.owner_s) == 1
    assert len({tag for _, tag in tagged}) > 1


def test_an_answer_is_the_part_that_is_served(folders, said):
    expected = answer_of(folders["answers"], CASES["answers"])
    assert json.loads(said["answers"]) == expected.answer and expected.answer


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if writes_text(case.kind)])
def test_texts_are_those_that_are_served(folders, said, name):
    served, seen = answer_of(folders[name], CASES[name]).text, said[name].rstrip("\n")
    assert served and (seen.startswith(served) if CASES[name].kind == "pretraining" else seen == served)


@pytest.mark.parametrize("name", CASES)
def test_a_program_is_short_and_knows_only_the_libraries(folders, name):
    program = (folders[name] / "load_model.py").read_text()
    assert len(program.splitlines()) <= LONGEST_PROGRAM
    assert "tunewright" not in program.replace("only tunewright reads windows", "")
    assert ("peft" in program) == (CASES[name].lora and CASES[name].kind != "similarity")
    compile(program, "load_model.py", "exec")


def test_a_program_is_made_of_the_models_own_classes(tmp_path):
    base = find_base(str(make_tiny_base(tmp_path / "base", "llama")), root=tmp_path)
    model = build_model(base, describe(base), kind="generation", outputs=200, pooling="last", seed=1)
    assert "from transformers.models.llama.modeling_llama import LlamaForCausalLM" in loader_of(model)
