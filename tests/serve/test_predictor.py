from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny_bases import make_tiny_base
from transformers import AutoModel, AutoTokenizer

from tunewright.data.apart import ApartEncoder, gather_passages
from tunewright.model.bases import find_base
from tunewright.model.build import build_model
from tunewright.model.describe import describe, load_tokenizer
from tunewright.model.weights import load_model, save_model
from tunewright.recipe.errors import DataRefusal
from tunewright.serve.answering import TEMPERATURE, mean_loss_of_passages
from tunewright.serve.predictor import (
    InputRefusal,
    LabelPrediction,
    LabelsPrediction,
    Predictor,
    ValuePrediction,
    fastest_dtype,
)

TEXTS = [
    "my card has not arrived",
    "please cancel this order now thank you very much",
    "hello",
    "the payment was declined at the shop and a refund is missing from my account " * 4,
    "how do i change the pin code",
]


def load(folder: Path, **options: object) -> Predictor:
    return Predictor.load(folder, dtype="float32", **options)


def test_logits_are_those_of_the_libraries_alone(model_folders: dict[str, Path]) -> None:
    folder = model_folders["classification"]
    head = json.loads((folder / "head.json").read_text())
    trunk = AutoModel.from_pretrained(folder / "trunk").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "trunk")
    linear = load_model(folder).model.head
    expected = []
    with torch.inference_mode():
        for text in TEXTS:
            vectors = trunk(**tokenizer(text, truncation=True, max_length=32, return_tensors="pt")).last_hidden_state
            expected.append(linear(vectors.mean(1))[0].numpy())
    predictor = load(folder)
    assert head["pooling"] == "mean"
    np.testing.assert_allclose(predictor.logits(TEXTS), expected, atol=1e-4)
    assert predictor.logits(TEXTS).dtype == np.float32


def test_a_fresh_process_with_the_folders_own_loader_agrees(model_folders: dict[str, Path]) -> None:
    folder = model_folders["classification"]
    said = subprocess.run(
        [sys.executable, str(folder / "load_model.py"), TEXTS[0]], capture_output=True, text=True, check=True
    )
    expected = json.loads(said.stdout.splitlines()[-1])
    [prediction] = load(folder).predict([TEXTS[0]])
    assert isinstance(prediction, LabelPrediction)
    assert prediction.probabilities == pytest.approx(expected, abs=1e-5)
    assert prediction.label == max(expected, key=expected.get)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_text_alone_and_in_a_batch_gets_the_same_label(model_folders: dict[str, Path], dtype: str) -> None:
    predictor = Predictor.load(model_folders["classification"], dtype=dtype)
    together = predictor.logits(TEXTS * 7)
    tolerance = (1e-4 if dtype == "float32" else 3e-2) * np.abs(together).max()
    for text, logits in zip(TEXTS, together, strict=False):
        alone = predictor.logits([text])[0]
        assert np.abs(alone - logits).max() <= tolerance
        margin = np.diff(np.sort(logits)[-2:])[0]
        assert alone.argmax() == logits.argmax() or margin <= 2 * tolerance


def test_labels_and_values_read_their_outputs(model_folders: dict[str, Path]) -> None:
    several = load(model_folders["multi_label"])
    for prediction, row in zip(several.predict(TEXTS), several.outputs(TEXTS), strict=True):
        assert isinstance(prediction, LabelsPrediction)
        assert list(prediction.probabilities.values()) == pytest.approx(row.tolist(), abs=1e-6)
        assert set(prediction.labels) == {label for label, p in prediction.probabilities.items() if p >= 0.5}
    value = load(model_folders["regression"])
    outputs = value.outputs(TEXTS)
    assert value.labels == () and outputs.shape == (len(TEXTS),)
    assert value.predict(TEXTS) == [ValuePrediction(float(output)) for output in outputs]


def test_spans_and_answers_are_parts_of_the_text(model_folders: dict[str, Path]) -> None:
    tagger = load(model_folders["token_classification"])
    found = [(text, span) for text, said in zip(TEXTS, tagger.predict(TEXTS), strict=True) for span in said.spans]
    assert found and {span.label for _, span in found} <= {"place", "thing"}
    assert all(span.text == text[span.start : span.end] and 0 < span.probability <= 1 for text, span in found)
    reader = load(model_folders["question_answering"])
    asked = [{"question": "hello where", "context": text} for text in TEXTS]
    answers = [(text, said) for text, said in zip(TEXTS, reader.predict(asked), strict=True) if said.answer]
    assert answers
    assert all(said.answer == text[said.start : said.end] and said.probability >= 0.5 for text, said in answers)


def test_no_inputs_give_no_predictions(model_folders: dict[str, Path]) -> None:
    predictor = load(model_folders["classification"])
    assert predictor.predict([]) == []
    assert predictor.outputs([]).shape == (0, 3)


def test_a_mapping_names_the_columns_in_any_order(model_folders: dict[str, Path]) -> None:
    predictor = load(model_folders["pair"])
    by_tuple = predictor.outputs([("my card", "is late")])
    assert np.array_equal(predictor.outputs([{"body": "is late", "subject": "my card"}]), by_tuple)
    assert not np.array_equal(predictor.outputs([("is late", "my card")]), by_tuple)
    assert predictor.columns == ("subject", "body")


@pytest.mark.parametrize(
    ("inputs", "code", "index", "column"),
    [
        ([("a", "b"), "a"], "wrong_columns", 1, None),
        ([("a", "b", "c")], "wrong_columns", 0, None),
        ([{"subject": "a"}], "missing_column", 0, "body"),
        ([{"subject": "a", "body": "b", "bodi": "c"}], "unknown_column", 0, "bodi"),
        ([("a", "b"), ("", " \n")], "empty_text", 1, None),
        ([{"subject": "", "body": " "}], "empty_text", 0, None),
        ([("a", 3)], "wrong_type", 0, "body"),
        ([None], "wrong_type", 0, None),
        ([("a", "b\ud800")], "invalid_text", 0, "body"),
    ],
)
def test_an_input_that_cannot_be_read_is_refused_by_place(
    model_folders: dict[str, Path], inputs: list, code: str, index: int, column: str | None
) -> None:
    with pytest.raises(InputRefusal) as refused:
        load(model_folders["pair"]).predict(inputs)
    assert (refused.value.code, refused.value.index, refused.value.column) == (code, index, column)
    assert f"input {index}" in str(refused.value)


def test_one_column_of_several_may_be_empty_as_in_training(model_folders: dict[str, Path]) -> None:
    predictor = load(model_folders["pair"])
    alone, spaces = predictor.outputs([("", "is late")]), predictor.outputs([{"subject": " ", "body": "is late"}])
    assert np.allclose(alone, spaces, atol=1e-3)
    assert not np.allclose(alone, predictor.outputs([("my card", "is late")]), atol=1e-6)


def test_an_unknown_column_names_the_nearest(model_folders: dict[str, Path]) -> None:
    with pytest.raises(DataRefusal, match="Did you mean 'subject'"):
        load(model_folders["pair"]).predict([{"subjct": "a", "body": "b"}])


def test_one_text_outside_a_list_is_refused_rather_than_read_letter_by_letter(model_folders: dict[str, Path]) -> None:
    with pytest.raises(DataRefusal, match="list"):
        load(model_folders["classification"]).predict("my card")


def test_name_version_dtype_and_threads_are_what_was_asked_for(model_folders: dict[str, Path]) -> None:
    threads = torch.get_num_threads()
    try:
        predictor = Predictor.load(model_folders["pair"], dtype="bfloat16", threads=1, name="tickets", version="3")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert (predictor.name, predictor.version, predictor.dtype) == ("tickets", "3", "bfloat16")
    unnamed = Predictor.load(model_folders["pair"])
    assert unnamed.name == "model" and len(unnamed.version) == 12
    assert unnamed.version != load(model_folders["classification"]).version


@pytest.mark.parametrize(
    ("arithmetic", "dtype"), [("bfloat16", fastest_dtype()), ("float32", "float32"), (None, "float32")]
)
def test_a_model_computes_in_the_arithmetic_in_which_it_was_shown_right(
    model_folders: dict[str, Path], tmp_path: Path, arithmetic: str | None, dtype: str
) -> None:
    folder = shutil.copytree(model_folders["pair"], tmp_path / "model")
    head = json.loads((folder / "head.json").read_text())
    head.pop("arithmetic")
    (folder / "head.json").write_text(json.dumps(head | ({"arithmetic": arithmetic} if arithmetic else {})))
    assert Predictor.load(folder).dtype == dtype
    assert Predictor.load(folder, dtype="bfloat16").dtype == "bfloat16"


def test_a_lora_model_answers_merged_as_it_did_unmerged(model_folders: dict[str, Path], tmp_path: Path) -> None:
    from tunewright.model.adapters import add_lora, has_lora

    source = model_folders["classification"]
    saved = load_model(source)
    add_lora(saved.model, rank=4, alpha=8.0, dropout=0.0, targets="linear", seed=1)
    with torch.no_grad():
        for name, parameter in saved.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05, generator=torch.Generator().manual_seed(2))
    base = find_base(str(source.parent / "base"), root=tmp_path)
    folder = tmp_path / "model"
    save_model(
        saved.model,
        folder,
        encoder_json=saved.encoder_json,
        labels=saved.labels,
        base=base,
        description=describe(base),
    )
    merged, unmerged = load(folder), Predictor(load_model(folder).model, load(folder).encoder, saved.labels)
    assert has_lora(unmerged.model) and not has_lora(merged.model)
    np.testing.assert_allclose(merged.logits(TEXTS), unmerged.logits(TEXTS), atol=1e-4)
    assert np.abs(merged.logits(TEXTS) - load(source).logits(TEXTS)).max() > 1e-2


# ---- texts that are compared


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model that was taught with queries, passages and passages that do not answer."""
    folder = tmp_path_factory.mktemp("finder")
    base = find_base(str(make_tiny_base(folder / "base", "bert")), root=folder)
    description = describe(base)
    model = build_model(base, description, kind="retrieval", outputs=0, pooling="mean", seed=3)
    encoder = ApartEncoder(32, "windows", 4, ("query", "passage", "other"), load_tokenizer(base.folder))
    save_model(
        model, folder / "model", encoder_json=encoder.to_json(), labels=(), base=base, description=description
    )
    return load(folder / "model")


ROWS = [
    ("my card", "where is my card please", "refund the money"), ("late", "it is late", "where is my card please"),
    ("hello card", "where is my card please", "it is late"), ("pin code", "change the pin", "hello " * 50),
]  # fmt: skip


def test_a_query_and_a_passage_get_their_cosine_whatever_their_company(finder: Predictor) -> None:
    assert finder.columns == ("query", "passage")
    pairs = [row[:2] for row in ROWS]
    vectors = finder.logits(pairs)
    assert vectors.shape == (4, 2, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=2), 1, atol=1e-6)
    together = finder.predict(pairs)
    assert [said.value for said in together] == pytest.approx((vectors[:, 0] * vectors[:, 1]).sum(1).tolist(), abs=1e-6)
    for pair, said in zip(pairs, together, strict=True):
        (alone,) = finder.predict([dict(zip(finder.columns, pair, strict=True))])
        assert alone.value == pytest.approx(said.value, abs=1e-5)


def test_places_are_among_the_different_passages_of_all_rows(finder: Predictor) -> None:
    vectors = finder._logits_of_rows(ROWS)
    texts = sorted({text for row in ROWS for text in row[1:]})
    vector_of = {text: vectors[i, j] for i, row in enumerate(ROWS) for j, text in enumerate(row) if j}
    expected = []
    for i, row in enumerate(ROWS):
        scores = {text: float(vectors[i, 0] @ vector_of[text]) for text in texts}
        expected.append(1 + sum(score > scores[row[1]] + 1e-6 for score in scores.values()))
    places = finder.judged_outputs(ROWS)
    assert places.dtype == np.int64 and places.tolist() == expected
    for said, place, row in zip(finder.search(ROWS, count=99), places, ROWS, strict=True):
        assert said.place == place and {found.passage for found in said.nearest} == set(texts)
        assert said.nearest[place - 1].passage == row[1]
        assert said.nearest[place - 1].value == pytest.approx(said.value, abs=1e-5)
    assert [len(said.nearest) for said in finder.search(ROWS, count=2)] == [2] * 4 and finder.search([]) == []


def test_the_loss_of_places_is_that_of_a_softmax_over_all_passages(finder: Predictor) -> None:
    vectors, passages = finder._logits_of_rows(ROWS), gather_passages(ROWS)
    logits = torch.from_numpy(vectors[:, 0] @ vectors[passages.row_p, passages.column_p].T / TEMPERATURE)
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(passages.own_r))
    assert mean_loss_of_passages(vectors, ROWS) == pytest.approx(float(expected), rel=1e-5)


def test_a_text_that_is_missing_is_refused_where_texts_are_compared(finder: Predictor) -> None:
    with pytest.raises(InputRefusal, match="passage is empty") as refusal:
        finder.predict([("my card", "is late"), ("my card", " ")])
    assert (refusal.value.code, refusal.value.index) == ("empty_text", 1)
    with pytest.raises(InputRefusal, match="query and passage are empty"):
        finder.predict([("", "")])
