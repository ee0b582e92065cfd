"""Every theme: the same under a seed, varied without one, whole, and true to what it says."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from random import Random

import pytest
from nano.chat import SPECIAL_TOKENS
from nano.corpus import THEMES
from nano.fields import DOMAINS
from nano.lists import number_in_words
from nano.scenes import SHARED, play

from nano import arithmetic, copying, dialogues, instructions, passages, records, toolcalls

SAMPLES = 250
MARKS = re.compile(r"\{[A-Za-z]+(?:\.\w+)*\}|\[[a-z ~]*\||\|[a-z ]*\]|(?<![\w])_[a-z]| {2,}(?![\"{\[}\]])")
"""What is left where a choice, a slot or a verb's mark was not resolved."""


def texts_of(theme: str, count: int = SAMPLES, seed: str = "test") -> list[str]:
    write, rng = THEMES[theme][0], Random(f"{seed}/{theme}")
    return [write(rng) for _ in range(count)]


def turns_of(text: str) -> list[tuple[str, str]]:
    """Role and content of every turn of a rendered conversation; none for plain text."""
    return [(role, content) for role, content in re.findall(r"<\|(\w+)\|>(.*?)<\|end\|>", text, re.DOTALL)]


@pytest.mark.parametrize("theme", THEMES)
def test_the_same_seed_gives_the_same_texts_and_another_seed_others(theme):
    assert texts_of(theme, 20) == texts_of(theme, 20)
    assert texts_of(theme, 20) != texts_of(theme, 20, seed="other")


@pytest.mark.parametrize("theme", THEMES)
def test_hardly_any_text_repeats(theme):
    texts = texts_of(theme, 600)
    assert len(set(texts)) >= 0.96 * len(texts)


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_is_left_unresolved(theme):
    for text in texts_of(theme):
        prose = re.sub(r"\{\s*\".*?\}|\[\s*[\"{\d].*?\]|Labels: .*|\(.*?\|.*?\)|.* \| .*", "", text, flags=re.DOTALL)
        assert MARKS.findall(prose) == [], text


@pytest.mark.parametrize("theme", THEMES)
def test_conversations_begin_with_a_request_and_end_with_an_answer(theme):
    forms = {"conversation": 0, "plain": 0}
    for text in texts_of(theme):
        turns = turns_of(text)
        if turns:
            roles = [role for role, _ in turns if role not in ("system", "tools")]
            assert roles[0] == "user" and roles[-1] == "assistant" and text.endswith("<|end|>")
            assert all(first != second for first, second in pairwise(roles))
            assert all(content for role, content in turns if role != "system")
        else:
            assert not any(token in text for token in SPECIAL_TOKENS)
        forms["conversation" if turns else "plain"] += 1
    assert forms["conversation"] >= 0.5 * SAMPLES
    assert forms["plain"] > 0.05 * SAMPLES or theme == "toolcalls"


# --- dialogues --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", dialogues.SCENES, ids=lambda scene: scene.name)
def test_every_scene_plays_and_its_summary_speaks_of_its_people(scene):
    rng, seen = Random(scene.name), set()
    for _ in range(60):
        people = dialogues.cast(rng, scene)
        lines, summary = play(rng, scene, people)
        assert {part for part, _ in lines} >= set("AB") and set(scene.cast) <= set(scene.parts())
        assert 1 <= len(summary) <= 5 and MARKS.findall(" ".join([*summary, *(said for _, said in lines)])) == []
        named = {part for part in scene.parts() if people[part].named.lower() in " ".join(summary).lower()}
        assert named, summary
        seen.add(" ".join(said for _, said in lines))
    assert len(seen) > 50, "of 60 hardly two are alike"


def test_a_summary_names_nobody_who_does_not_speak_or_is_spoken_of():
    rng = Random(3)
    words_of_a_summary = {"She", "He", "They", "The", "It", "Nobody", "Then", "But", "About", "As", "On", "Not", "Her",
                          "His", "Their"}  # fmt: skip
    for _ in range(400):
        lines, summary = dialogues.dialogue(rng)
        text = " ".join(lines)
        for name in re.findall(r"\b[A-Z][a-z]+\b", " ".join(summary)):
            assert name.lower() in text.lower() or name in words_of_a_summary, (name, summary)


def test_pronouns_of_a_summary_are_those_of_its_people():
    rng = Random(4)
    for _ in range(200):
        scene = rng.choice([scene for scene in dialogues.SCENES if scene.name != "advice"])  # where sons are spoken of
        people = dialogues.cast(rng, scene)
        said = " ".join(play(rng, scene, people)[1])
        women = {people[part].woman for part in scene.parts()}
        if women == {True}:
            assert not re.search(r"\b(he|him|himself)\b", said.lower()), said
        if women == {False}:
            assert not re.search(r"\b(she|herself)\b", said.lower()), said


def test_slots_that_scenes_share_are_used_by_some_scene():
    written = " ".join(scene.text + " ".join(scene.slots.values()) for scene in dialogues.SCENES)
    written += " ".join(" ".join(entries) for entries in SHARED.values())
    assert [name for name in SHARED if f"{{{name}" not in written] == []


# --- records ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", DOMAINS)
def test_prose_states_the_values_of_its_record(domain):
    rng = Random(domain)
    for _ in range(40):
        facts, silent = records.unclashing_facts(rng, domain)
        assert len(facts) + len(silent) >= 3
        for fact in facts:
            assert fact.sentence and MARKS.findall(fact.sentence) == []
            assert is_stated(fact.value, fact.sentence), fact
        assert json.loads(json.dumps(records.record_of(facts, silent))) == records.record_of(facts, silent)


def is_stated(value: object, sentence: str) -> bool:
    """Whether a sentence holds the value in some form; true of enumerations, which it states in other words."""
    said = sentence.lower()
    if isinstance(value, bool):
        return True
    if isinstance(value, list):
        return all(str(each).lower() in said for each in value)
    if isinstance(value, int | float):
        forms = {str(value), f"{value:,}", f"{value:.2f}"}
        return bool(forms & set(re.findall(r"-?[\d,]*\d(?:\.\d+)?", said))) or (
            isinstance(value, int) and number_in_words(value) in said)  # fmt: skip
    if re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)):
        return all(part in said for part in (str(value)[:4], str(int(str(value)[8:]))))
    if re.fullmatch(r"\d\d:\d\d", str(value)):
        return str(int(str(value)[:2])) in said or str((int(str(value)[:2]) - 1) % 12 + 1) in said
    enumerated = any(f"{value} =>" in fields for fields in DOMAINS.values())
    return str(value).lower() in said or enumerated


def test_every_answer_in_json_parses_and_has_the_keys_that_were_asked_for():
    rng, seen = Random(8), 0
    for _ in range(300):
        turns = turns_of(records.prose_to_json(rng, rng.choice(list(DOMAINS))))
        if turns and turns[-1][1].startswith("{"):
            record, asked = json.loads(turns[-1][1]), " ".join(content for _, content in turns[:-1])
            if "null" in json.dumps(record) or "Keys:" in asked:
                assert all(key in asked for key in record)
                seen += 1
    assert seen > 60


def test_dotted_keys_are_nested_and_silence_is_null():
    facts = [records.Fact("a.b", 1, "x"), records.Fact("c", True, "y")]
    assert records.record_of(facts, ["a.d"]) == {"a": {"b": 1, "d": None}, "c": True}
    assert list(records.record_of(facts, ["e"], ["e", "c", "a.b"])) == ["e", "c", "a"]


def test_arrays_hold_one_object_for_each_and_changes_are_made_as_asked():
    rng = Random(9)
    for _ in range(200):
        for turns in (turns_of(records.several(rng, rng.choice(list(DOMAINS)))),
                      turns_of(records.change(rng, rng.choice(list(DOMAINS))))):  # fmt: skip
            if turns and turns[-1][1][:2] in ('[{', '{"'):
                json.loads(turns[-1][1])
            if turns and (found := re.match(r"Set (\w+) to (\d+)\.", turns[-2][1])):
                assert json.loads(turns[-1][1])[found[1]] == int(found[2])


# --- the others -------------------------------------------------------------------------------------------------------


def test_stories_hold_the_answers_to_their_questions():
    rng, all_held = Random(10), []
    for _ in range(300):
        sentences, asked, unanswered = passages.tell(rng)
        text = " ".join(sentences).lower()
        assert asked and not set(unanswered) & {question for question, _ in asked}
        for question, answer in asked:
            held = [word in text for word in re.findall(r"[a-z]{3,}", answer.lower())]
            assert any(held), (question, answer, text)
            all_held += held
    assert sum(all_held) > 0.95 * len(all_held)


def test_sums_are_right():
    rng, seen = Random(11), 0
    for _ in range(400):
        answer = arithmetic.write(rng)
        for first, sign, second, result in re.findall(r"(\d+) ([+*/-]) (\d+) = (\d+)(?![\d:])", answer):
            if re.search(rf"\d [+*/-] {first} {re.escape(sign)}", answer) is None:
                assert eval(f"{first} {sign} {second}") == int(result), answer
                seen += 1
    assert seen > 100
    assert number_in_words(40_213) == "forty thousand two hundred and thirteen"
    assert [number_in_words(each) for each in (0, 19, 30, 99, 100, 1005)] == [
        "zero", "nineteen", "thirty", "ninety-nine", "one hundred", "one thousand and five"]  # fmt: skip


def test_lists_are_copied_and_reversed_as_asked():
    rng, seen = Random(12), {"Repeat": 0, "Reverse": 0, "JSON": 0}
    for _ in range(600):
        turns = turns_of(copying.write(rng))
        for (_, request), (_, answer) in zip(turns[-2::2], turns[-1::2], strict=True):
            if request.startswith("Repeat: "):
                assert answer == request.removeprefix("Repeat: ")
                seen["Repeat"] += 1
            elif request.startswith("Reverse the order.\n"):
                joint = next((each for each in ("; ", " / ", " | ", "\n", ", ") if each in answer), "\0")
                assert answer.split(joint)[::-1] == request.split("\n", 1)[1].split(joint)
                seen["Reverse"] += 1
            elif request.startswith("Write the items as a JSON array."):
                assert all(item in request for item in json.loads(answer))
                seen["JSON"] += 1
    assert all(seen.values())


def test_instructions_that_can_be_checked_are_answered_rightly():
    rng, seen = Random(13), 0
    for _ in range(800):
        request, answer = instructions.form_of_text(rng) if rng.random() < 0.5 else instructions.count_in_text(rng)
        if "capital letters" in request or "upper case" in request:
            assert answer.isupper() and answer.lower() in request.lower()
            seen += 1
        elif found := re.fullmatch(r'How many letters does "(\w+)" have\?', request):
            assert answer == f"{len(found[1])} letters."
            seen += 1
    assert seen > 60
    assert instructions.named_in("In Norwood Selma Carter met Tom.") == ["Selma Carter", "Tom"]


def test_tool_calls_name_an_offered_tool_with_its_arguments():
    called = 0
    for text in texts_of("toolcalls"):
        turns = turns_of(text)
        tools = {tool["function"]["name"]: tool["function"] for tool in json.loads(turns[0][1])}
        for content in (content for role, content in turns if role == "assistant" and "<tool_call>" in content):
            call = json.loads(content.removeprefix("<tool_call>").removesuffix("</tool_call>"))
            assert set(call["arguments"]) == set(tools[call["name"]]["parameters"]["properties"])
            called += 1
    assert called > 0.7 * SAMPLES
    assert toolcalls.write(Random(1)).startswith("<|tools|>[")
