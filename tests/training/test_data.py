"""Reading training data: both forms, every problem by its line, hostile bytes; and a split that stays."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.base import Message
from evals.cases import GoldenTask, load_golden
from evals.errors import DataError
from evals.prompts import chat_messages
from tests.golden_folder import TASK, write_golden
from training.data import Dataset, Example, read_dataset, split

PAIR: dict[str, Any] = {"prompt": "The sky?", "completion": "blue"}
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "The sky?"},
    {"role": "assistant", "content": "blue"},
]


def written(tmp_path: Path, *lines: Any) -> Path:
    """A file with these lines: bytes as they are, other values as JSON."""
    path = tmp_path / "data.jsonl"
    path.write_bytes(
        b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines) + b"\n"
    )
    return path


def problems(path: Path, task: GoldenTask | None = None) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_dataset(path, task)
    for one in caught.value.problems:
        assert one.file == path
        assert all(char.isprintable() for char in f"{one.field}{one.what}{one.mend}")
        assert len(one.what) <= 300
    return [f"{one.line}:{one.field} {one.what}" for one in caught.value.problems]


@pytest.fixture
def task(tmp_path: Path) -> GoldenTask:
    head = TASK + 'system: "You name colours."\nprompt: "<<{{ input | trim }}>>"\n'
    return load_golden(write_golden(tmp_path / "golden", task=head))[0]


def test_a_prompt_without_a_task_is_the_users_message(tmp_path: Path) -> None:
    line = {**PAIR, "expect": {"keywords": ["blue"]}, "tags": ["easy"]}
    path = written(tmp_path, line)

    dataset = read_dataset(path)

    (example,) = dataset.examples
    assert example.messages == (Message("user", "The sky?"), Message("assistant", "blue"))
    assert (example.line, example.prompt, example.tags) == (1, "The sky?", ("easy",))
    assert example.expect == {"keywords": ["blue"]}
    assert (example.completion, example.user, example.asked) == ("blue", "The sky?", ("The sky?",))
    assert dataset.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert dataset.task == ""


def test_a_prompt_of_a_task_is_asked_as_a_golden_case_is(tmp_path: Path, task: GoldenTask) -> None:
    dataset = read_dataset(written(tmp_path, {**PAIR, "prompt": " The sky above us. "}), task)

    case = dataclasses.replace(task.cases[0], input=" The sky above us. ")
    (example,) = dataset.examples
    assert example.messages[:-1] == chat_messages(task, case)
    assert example.messages[:2] == (
        Message("system", "You name colours."),
        Message("user", "<<The sky above us.>>"),
    )
    assert example.prompt == " The sky above us. "
    assert dataset.task == "colours"


def test_messages_stay_as_they_are_whatever_the_task(tmp_path: Path, task: GoldenTask) -> None:
    (example,) = read_dataset(written(tmp_path, {"messages": TURNS}), task).examples

    assert [dataclasses.asdict(one) for one in example.messages] == TURNS
    assert (example.prompt, example.asked) == ("", ("Hello", "Hi", "The sky?"))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"], ids=["none", "LF", "CRLF"])
def test_lines_end_in_lf_or_crlf_and_the_last_one_however_it_likes(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "data.jsonl"
    line = json.dumps(PAIR).encode()
    path.write_bytes(line + (end or b"\n") + line + end)

    assert [one.line for one in read_dataset(path).examples] == [1, 2]


def test_separators_that_end_no_line_stay_in_their_text(tmp_path: Path) -> None:
    text = "one\u2028two\x85three\x0bfour"
    line = json.dumps({"prompt": text, "completion": "blue"}, ensure_ascii=False).replace("\x0b", "\\u000b")

    (example,) = read_dataset(written(tmp_path, line.encode())).examples

    assert example.prompt == text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"prompt": "a", "completion": "b"', "is not JSON: Expecting ',' delimiter at column 34"),
        (b'{"prompt": "a", "prompt": "b", "completion": "c"}', "the key 'prompt' stands twice"),
        (b'["prompt", "completion"]', "is no JSON object"),
        (b"null", "is no JSON object"),
        (b"", "is empty"),
        (b"  \r", "is empty"),
        (b'{"prompt": "a\x00", "completion": "b"}', "holds a NUL byte"),
        (b'{"prompt": "a", "completion": "b\\u0000"}', "completion holds the character NUL"),
        (b'{"prompt": "a", "completion": "b\\ud83d"}', "completion holds half of a surrogate pair"),
        (b'{"prompt": "a", "completion": "b", "expect": {"\\udc00": 1}}', "holds half of a surrogate pair"),
        (b'{"prompt": "\xff", "completion": "b"}', "is not UTF-8 at byte 13"),
        (b'{"prompt": "a", "completion": "b", "expect": {"n": 1e999}}', "too large for a number"),
        (b'{"prompt": "a", "completion": "b", "expect": {"n": NaN}}', "NaN is no JSON number"),
        (b'{"prompt": "a", "completion": "b", "expect": {"n": ' + b"9" * 5000 + b"}}", "is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"expect": ' + b'{"a":' * 80 + b"1" + b"}" * 81, "nested too deeply"),
        ({**PAIR, "answer": "x"}, "answer unknown key"),
        ({**PAIR, "\u202e\x1b[31m" * 1000: 1}, "unknown key"),
        ({**PAIR, "prompt": 3}, "prompt is no text, got 3"),
        ({**PAIR, "tags": ["a", 1]}, "tags[1] is no text"),
        ({**PAIR, "expect": [1]}, "expect is no set"),
        ({"prompt": "a"}, "has no completion"),
        ({"tags": []}, "has no prompt and no completion"),
        ({**PAIR, "messages": TURNS}, "has messages, and prompt or completion beside them"),
        ({**PAIR, "prompt": " \n"}, "prompt is empty"),
        ({"messages": []}, "messages have the roles of nobody"),
        ({"messages": TURNS[:1]}, "messages have the roles system"),
        ({"messages": TURNS[:2]}, "messages have the roles system, user"),
        ({"messages": TURNS[2:]}, "messages have the roles assistant, user, assistant"),
        (
            {"messages": [*TURNS[1:3], TURNS[0], *TURNS[3:]]},
            "messages have the roles user, assistant, system",
        ),
        ({"messages": [TURNS[1], *TURNS[1:3]]}, "messages have the roles user, user, assistant"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role should be 'system'"),
        ({"messages": [{"role": "\x1b" * 10**6, "content": "x"}]}, "messages[0].role should be"),
        ({"messages": [{"role": "user"}]}, "messages[0].content is missing"),
        ({"messages": ["hello"]}, "messages[0] is no set"),
        ({"messages": [{**TURNS[1], "name": "x"}, TURNS[2]]}, "messages[0].name unknown key"),
        ({"messages": [{"role": "user", "content": " "}, TURNS[2]]}, "messages[0].content is empty"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_with_its_number(tmp_path: Path, line: Any, said: str) -> None:
    (found,) = problems(written(tmp_path, PAIR, line, PAIR))

    assert found.startswith("2:")
    assert said in found


def test_all_bad_lines_are_told_at_once(tmp_path: Path) -> None:
    found = problems(written(tmp_path, b"{", PAIR, {"messages": []}, b"\xff", {**PAIR, "x": 1, "y": 2}))

    assert [one.partition(":")[0] for one in found] == ["1", "3", "4", "5", "5"]


def test_a_byte_order_mark_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, PAIR, b"nonsense")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    first, second = problems(path)

    assert first == "1: starts with a byte order mark"
    assert second.startswith("2: is not JSON")


def test_utf_16_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text((json.dumps(PAIR) + "\n") * 3, encoding="utf-16")

    assert problems(path) == ["1: is UTF-16"]


def test_an_empty_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"")

    assert problems(path) == ["1: is empty"]


def test_a_file_that_is_not_there_and_a_folder_are_problems(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.jsonl") == ["1: cannot be read: No such file or directory"]
    assert problems(tmp_path) == ["1: cannot be read: Is a directory"]


def test_a_line_of_a_megabyte_is_read(tmp_path: Path) -> None:
    (example,) = read_dataset(written(tmp_path, {**PAIR, "prompt": "x" * 10**6})).examples

    assert len(example.prompt) == 10**6


def test_a_prompt_that_a_template_cannot_take_is_told(tmp_path: Path, task: GoldenTask) -> None:
    task = dataclasses.replace(task, prompt="{% if input > 3 %}{{ input }}{% endif %}")

    (found,) = problems(written(tmp_path, PAIR), task)

    assert found.startswith("1:prompt the prompt of the task colours cannot be filled in")


# Splitting.

TEXT = st.text(max_size=20)


def dataset_of(asked: list[tuple[str, str]]) -> Dataset:
    examples = [
        Example(line, (Message("user", prompt), Message("assistant", completion)), {}, prompt)
        for line, (prompt, completion) in enumerate(asked, start=1)
    ]
    return Dataset(Path("data.jsonl"), "", tuple(examples))


def sides(asked: list[tuple[str, str]], held_out: float) -> dict[tuple[str, str], bool]:
    """By prompt and completion, whether it is held out."""
    train, held = split(dataset_of(asked), held_out)
    assert sorted(one.line for one in (*train, *held)) == list(range(1, len(asked) + 1))
    return {(one.user, one.completion): side for side, ones in enumerate((train, held)) for one in ones}  # type: ignore[misc]


@given(st.lists(st.tuples(TEXT, TEXT)), st.lists(st.tuples(TEXT, TEXT)), st.floats(0, 1))
def test_adding_lines_anywhere_moves_no_other(
    before: list[tuple[str, str]], added: list[tuple[str, str]], held_out: float
) -> None:
    alone = sides(before, held_out)
    together = sides([*added, *before, *added], held_out)

    assert {key: together[key] for key in alone} == alone


@given(TEXT, st.lists(TEXT, min_size=2, max_size=5), st.floats(0, 1))
def test_lines_that_ask_the_same_are_on_one_side(
    prompt: str, completions: list[str], held_out: float
) -> None:
    found = sides([(prompt, one) for one in completions], held_out)

    assert len(set(found.values())) == 1


@given(st.lists(st.tuples(TEXT, TEXT)), st.floats(0, 1), st.floats(0, 1))
def test_holding_out_more_takes_nothing_back(asked: list[tuple[str, str]], one: float, other: float) -> None:
    less, more = (sides(asked, share) for share in sorted((one, other)))

    assert all(more[key] for key, held in less.items() if held)


def test_the_share_that_is_held_out_is_about_what_was_asked_for() -> None:
    asked = [(f"question {number}", "answer") for number in range(2000)]

    assert 160 <= len(split(dataset_of(asked), 0.1)[1]) <= 240  # 200, three deviations of 13.4
    assert split(dataset_of(asked), 0)[1] == ()
    assert split(dataset_of(asked), 1)[0] == ()


def test_the_side_of_a_line_is_the_same_on_every_machine_and_in_both_forms() -> None:
    train, held = split(dataset_of([(f"question {number}", "") for number in range(40)]), 0.1)

    assert [one.line for one in held] == [2, 3, 15, 16, 32]
    messages = tuple(dataclasses.replace(one, prompt="") for one in (*train, *held))
    assert {one.line for one in split(Dataset(Path("data.jsonl"), "", messages), 0.1)[1]} == {
        2,
        3,
        15,
        16,
        32,
    }


def test_a_task_whose_system_message_changes_keeps_its_split() -> None:
    examples = dataset_of([(f"question {number}", "") for number in range(200)]).examples
    other = [
        dataclasses.replace(one, messages=(Message("system", "New."), *one.messages), prompt="")
        for one in examples
    ]

    held = [one.line for one in split(Dataset(Path("a"), "", examples), 0.2)[1]]

    assert held == [one.line for one in split(Dataset(Path("a"), "", tuple(other)), 0.2)[1]]
