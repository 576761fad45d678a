"""Contamination: whole texts, runs of words, near duplicates; what is alike by nature is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz, utils

from evals.backends.base import Message
from evals.cases import GoldenTask, load_golden
from tests.golden_folder import TASK, write_golden
from training.contamination import NEAR_ANSWER, RUN, find_overlaps, near_texts, normalised, words
from training.data import Example

HARBOUR = (
    "The harbour master keeps a blue ledger of all ships that come in after dark, with their cargo and crew."
)
EIGHT = "Which colour has a ripe lemon in June?"
ANSWER = "It is blue: the ledger on the table, the sea behind it, the sky above both, and every sign on the long pier."


def case(name: str, given: str, reference: str = "blue", **fields: Any) -> dict[str, Any]:
    return {"id": name, "input": given, "reference": reference, "expect": {"keywords": ["blue"]}, **fields}


def tasks_of(folder: Path, *cases: dict[str, Any], prompt: str = "{{ input }}") -> tuple[GoldenTask, ...]:
    # JSON is YAML.
    head = TASK + f"prompt: {json.dumps(prompt)}\n"
    return load_golden(write_golden(folder / "golden", task=head, cases=json.dumps(cases)))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> tuple[GoldenTask, ...]:
    return tasks_of(
        tmp_path_factory.mktemp("golden"),
        case("harbour", HARBOUR, split="dev"),
        case("lemon", EIGHT),
        case("short", "Sky?", reference=ANSWER),
        case("marks", "?!"),
    )


def example(prompt: str, completion: str = "yes", line: int = 1) -> Example:
    return Example(line, (Message("user", prompt), Message("assistant", completion)), {}, prompt)


def found(prompt: str, tasks: tuple[GoldenTask, ...], completion: str = "yes") -> list[tuple[str, str, str]]:
    return [(one.case, one.part, one.how) for one in find_overlaps([example(prompt, completion)], tasks)]


@pytest.mark.parametrize(
    ("prompt", "case_id", "how"),
    [
        (HARBOUR, "harbour", "exact"),
        ("Sky?", "short", "exact"),
        ("?!", "marks", "exact"),
        ("  sky", "short", "normalised"),
        ("? !", "marks", "normalised"),
        (HARBOUR.upper().replace(" ", "\n"), "harbour", "normalised"),
        (f"Answer this at once.\n\n{EIGHT}\n\nBe brief, and name but one colour.", "lemon", "13-gram"),
        (" ".join(HARBOUR.split()[3:16]), "harbour", "13-gram"),
        (
            HARBOUR.replace("blue", "green").replace("dark", "dusk").replace("come in", "arrive"),
            "harbour",
            "near",
        ),
    ],
)
def test_an_example_that_asks_what_a_case_asks_is_found(
    prompt: str, case_id: str, how: str, tasks: tuple[GoldenTask, ...]
) -> None:
    assert found(prompt, tasks) == [(case_id, "input", how)]


@pytest.mark.parametrize(
    "prompt",
    [
        "What keeps the harbour master awake?",
        " ".join(HARBOUR.split()[:12]),
        "The sky? It is above the sea.",
        "!",
        "Which colour has a ripe plum in late September, and why?",
    ],
)
def test_an_example_that_asks_something_else_is_not(prompt: str, tasks: tuple[GoldenTask, ...]) -> None:
    assert found(prompt, tasks) == []


FILLER = st.lists(st.sampled_from(["alpha", "beta,", "gamma.", "Delta\n", "epsilon?"]), max_size=30).map(
    " ".join
)


@given(FILLER, FILLER, st.sampled_from([HARBOUR, EIGHT]), st.booleans())
def test_words_around_an_input_do_not_hide_it(
    tasks: tuple[GoldenTask, ...], before: str, after: str, inner: str, upper: bool
) -> None:
    prompt = f"{before} {inner.upper() if upper else inner} {after}"

    hows = {one.how for one in find_overlaps([example(prompt)], tasks)}

    assert hows and hows <= {"exact", "normalised", "13-gram"}


@given(FILLER, FILLER)
def test_words_around_an_answer_do_not_hide_it(
    tasks: tuple[GoldenTask, ...], before: str, after: str
) -> None:
    (one,) = find_overlaps([example("Tell me.", f"{before} {ANSWER} {after}")], tasks)

    assert (one.case, one.part) == ("short", "reference")


@pytest.mark.parametrize(
    ("completion", "how"),
    [
        (ANSWER, "exact"),
        (ANSWER.lower().replace(",", ""), "normalised"),
        (f"I think so. {ANSWER}", "13-gram"),
        (ANSWER.replace("table", "desk").replace("sky", "air").replace("every", "each"), ""),
        (ANSWER.replace("long", "old").replace("table", "cable").replace("behind", "beside it"), ""),
        ("blue", ""),
    ],
)
def test_a_completion_that_is_a_long_reference_is_found(
    completion: str, how: str, tasks: tuple[GoldenTask, ...]
) -> None:
    expected = [("short", "reference", how)] if how else []

    assert found("Tell me.", tasks, completion) == expected


def test_an_answer_with_a_letter_more_in_every_dozen_words_is_a_near_duplicate(
    tasks: tuple[GoldenTask, ...],
) -> None:
    changed = ANSWER.replace("sea", "seas").replace("pier", "piers")
    likeness = fuzz.token_sort_ratio(changed, ANSWER, processor=utils.default_process)
    assert likeness >= NEAR_ANSWER

    assert found("Tell me.", tasks, changed) == [("short", "reference", "near")]


def test_less_than_half_of_a_reference_is_what_a_fixed_form_may_bring(tasks: tuple[GoldenTask, ...]) -> None:
    own = ANSWER.split()
    runs = len(own) - RUN + 1
    most = RUN - 1 + runs // 2
    other = " while gulls cry over the roofs and the town sleeps on"

    assert found("Tell me.", tasks, " ".join(own[:most]) + other) == []
    assert found("Tell me.", tasks, " ".join(own[: most + 1]) + other) == [("short", "reference", "13-gram")]


def test_an_input_is_found_in_a_completion_too(tasks: tuple[GoldenTask, ...]) -> None:
    assert found("Ask me something.", tasks, f"Gladly. {HARBOUR}") == [("harbour", "input", "13-gram")]


def test_every_turn_and_the_system_message_of_a_conversation_count(tasks: tuple[GoldenTask, ...]) -> None:
    messages = (
        Message("system", f"Know this. {HARBOUR}"),
        Message("user", "sky"),
        Message("assistant", ANSWER),
        Message("user", "And then?"),
        Message("assistant", "Night."),
    )

    overlaps = find_overlaps([Example(7, messages, {})], tasks)

    assert [(one.line, one.case, one.part, one.how) for one in overlaps] == [
        (7, "short", "reference", "exact"),  # stronger than its input, which is normalised
        (7, "harbour", "input", "13-gram"),
    ]


def test_an_input_is_known_in_its_tasks_template(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path, case("lime", "lime"), prompt="Name the colour of this thing: {{ input }}")
    asked = "Name the colour of this thing: lime"

    assert found(asked, tasks) == [("lime", "input", "exact")]
    assert found("Name the colour of this thing: plum", tasks) == []


def test_wording_that_inputs_of_many_cases_share_marks_none_of_them(tmp_path: Path) -> None:
    wording = "Read the note below with care and then say in one word what colour it is about"
    notes = ["A lemon lay there.", "Grass everywhere, all wet.", "Snow fell at dawn.", "He bled on it."]
    cases = [case(f"note-{number}", f"{wording}: {note}") for number, note in enumerate(notes)]
    mine = f"{wording}. Nobody had seen the old tractor since autumn, but its paint was still as on the first day."

    assert found(mine, tasks_of(tmp_path / "many", *cases)) == []
    assert len(found(mine, tasks_of(tmp_path / "few", *cases[:3]))) == 3
    clustered = [{**one, "cluster": "meadow"} for one in cases]
    assert len(found(mine, tasks_of(tmp_path / "clustered", *clustered))) == 4


def test_what_is_shown_is_fit_for_a_terminal_and_short(tmp_path: Path) -> None:
    hostile = "\x1b[31mred\u202e " * 50
    tasks = tasks_of(tmp_path, case("hostile", hostile))

    (overlap,) = find_overlaps([example(hostile)], tasks)

    assert overlap.shown.isprintable()
    assert len(overlap.shown) <= 120


def test_the_words_of_a_run_are_shown(tasks: tuple[GoldenTask, ...]) -> None:
    (overlap,) = find_overlaps([example(f"Once more: {HARBOUR} Why?")], tasks)

    assert overlap.shown == "the harbour master keeps a blue ledger of all ships that come in"


def test_nothing_is_found_where_there_is_nothing(tasks: tuple[GoldenTask, ...]) -> None:
    assert find_overlaps([], tasks) == ()
    assert find_overlaps([example(HARBOUR)], ()) == ()


def test_scripts_without_spaces_are_read_by_character() -> None:
    assert words("港口の蓝色 Ledger ภาษา") == [*"港口の蓝色", "ledger", *"ภาษา"]
    assert normalised("…") == "…"


TEXTS = st.lists(st.text(alphabet="ab c.,", max_size=30), max_size=8)


@given(TEXTS, TEXTS)
def test_likeness_is_that_of_rapidfuzz_pair_by_pair(ones: list[str], others: list[str]) -> None:
    prepared = [[utils.default_process(text) or text for text in texts] for texts in (ones, others)]
    expected = {
        (i, j): likeness
        for i, one in enumerate(prepared[0])
        for j, other in enumerate(prepared[1])
        if (likeness := fuzz.token_sort_ratio(one, other, score_cutoff=85))
    }

    found = {(i, j): likeness for i, j, likeness in near_texts(ones, others)}

    assert found == pytest.approx(expected)


def test_likeness_is_the_same_in_one_batch_of_rows_and_in_several() -> None:
    texts = [f"question number {number}" for number in range(700)]

    pairs = {(i, j) for i, j, _ in near_texts(texts, texts)}

    assert {(i, i) for i in range(700)} <= pairs
    assert {(j, i) for i, j in pairs} == pairs


def test_every_case_of_this_repository_is_found_by_its_input_and_by_its_long_reference() -> None:
    tasks = load_golden(Path(__file__).parents[2] / "golden")
    cases = [(task.name, one) for task in tasks for one in task.cases]
    asking = [example(one.input, line=line) for line, (_, one) in enumerate(cases)]
    answering = [example("Tell me.", one.reference, line=line) for line, (_, one) in enumerate(cases)]

    by_input = find_overlaps(asking, tasks)
    by_reference = find_overlaps(answering, tasks)

    expected = [(line, name, one.id) for line, (name, one) in enumerate(cases)]
    assert [(one.line, one.task, one.case) for one in by_input if one.how == "exact"] == expected
    long = [
        place for place, (_, one) in zip(expected, cases, strict=True) if len(words(one.reference)) >= RUN
    ]
    # Cases of one repository are told apart: none overlaps another's input or answer.
    assert [(one.line, one.task, one.case) for one in by_reference] == long
    assert len(by_input) == len(cases)


@pytest.mark.parametrize(
    "hide",
    [
        lambda text: text.replace("e", "e\u00ad"),
        lambda text: "\u200b".join(text),
        lambda text: text.replace(" ", " \u2060"),
        lambda text: "\ufeff".join(text),
    ],
    ids=["soft-hyphens", "no-width-spaces", "word-joiners", "byte-order-marks"],
)
def test_invisible_characters_hide_no_case(hide: Callable[[str], str], tasks: tuple[GoldenTask, ...]) -> None:
    assert found(hide(HARBOUR), tasks) == [("harbour", "input", "normalised")]
    assert found("Tell me all that you know of it: " + hide(HARBOUR), tasks) == [
        ("harbour", "input", "13-gram")
    ]
    assert [one[:2] for one in near_texts([hide(EIGHT.replace("ripe", "good"))], [EIGHT])] == [(0, 0)]
