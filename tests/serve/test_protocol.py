from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.serve.protocol import ApiError, ErrorBody, PredictRequest, parse_json, read_request, to_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def refusal(body: bytes, *, max_inputs: int = 3) -> ApiError:
    with pytest.raises(ApiError) as refused:
        read_request(body, max_inputs=max_inputs)
    return refused.value


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "empty_body", None),
        (b"{", "invalid_json", None),
        (b"{'input': 'a'}", "invalid_json", None),
        (b'{"input": "a"} tail', "invalid_json", None),
        (b'{"input": NaN}', "invalid_json", None),
        (b'{"input": -Infinity}', "invalid_json", None),
        (b'{"input": "a", "input": "b"}', "invalid_json", None),
        (b'{"input": [{"text": "a", "text": "b"}]}', "invalid_json", None),
        (b'{"input": ' + b"1" * 10_000 + b"}", "invalid_json", None),
        (b'\xef\xbb\xbf{"input": "a"}', "invalid_json", None),
        (b'{"input": "\xff"}', "invalid_utf8", None),
        ('{"input": "a"}'.encode("utf-16"), "invalid_utf8", None),
        (b"[" * 100_000, "nested_too_deeply", None),
        (b'{"a":' * 100_000, "nested_too_deeply", None),
        (b'["a"]', "not_an_object", None),
        (b"null", "not_an_object", None),
        (b"{}", "missing_input", "input"),
        (b'{"inputs": "a"}', "unknown_key", "inputs"),
        (b'{"input": 1}', "wrong_type", "input"),
        (b'{"input": null}', "wrong_type", "input"),
        (b'{"input": true}', "wrong_type", "input"),
        (b'{"input": []}', "empty_list", "input"),
        (b'{"input": ["a", "b", "c", "d"]}', "too_many_inputs", "input"),
        (b'{"input": "a", "model": 1}', "wrong_type", "model"),
        (b'{"input": "a", "model": ["m"]}', "wrong_type", "model"),
    ],
)
def test_a_body_that_asks_for_nothing_sensible_is_refused(body: bytes, code: str, param: str | None) -> None:
    error = refusal(body)
    assert (error.status, error.code, error.param) == (400, code, param)
    assert len(error.message) < 300


def test_a_misspelled_key_names_the_nearest() -> None:
    assert "Did you mean 'input'" in refusal(b'{"inptu": "a"}').message


def test_one_input_and_a_list_of_one_are_told_apart() -> None:
    one = read_request(b'{"input": "a"}', max_inputs=3)
    listed = read_request(b'{"input": [{"subject": "a"}], "model": "m@1"}', max_inputs=3)
    assert (one.inputs, one.model, one.param(0, None)) == (["a"], None, "input")
    assert (listed.inputs, listed.model, listed.param(0, "subject")) == ([{"subject": "a"}], "m@1", "input.0.subject")


@given(json_values)
def test_parsing_agrees_with_the_standard_library(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(json_values)
def test_what_is_written_reads_back(value: object) -> None:
    assert json.loads(to_json(value)) == value


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused_in_the_one_shape(body: bytes) -> None:
    try:
        asked = read_request(body, max_inputs=3)
    except ApiError as error:
        assert error.status == 400
        ErrorBody.model_validate_json(error.body(), strict=True)
    else:
        assert 1 <= len(asked.inputs) <= 3


def test_a_lone_surrogate_in_a_message_is_still_json() -> None:
    error = refusal(b'{"\\ud800": 1}')
    assert json.loads(error.body())["error"]["param"] == "\ud800"


def test_the_documented_request_accepts_what_the_reader_accepts() -> None:
    for value in ("a", {"text": "a"}, ["a", {"text": "b"}]):
        body = to_json({"input": value})
        assert PredictRequest.model_validate_json(body).input == value
        read_request(body, max_inputs=3)
