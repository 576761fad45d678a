"""The form of a snapshot, its name, and what is told between a recorded answer and a new one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.base import ModelReply
from evals.cases import GoldenCase, load_golden
from evals.errors import SettingsError, SnapshotError
from evals.outcomes import ReplyOutcome, classify
from evals.snapshot_folder import file_name, holds_any, left_over, refuse_unwritable, write_snapshot
from evals.snapshots import (
    DIFF_LINES_READ,
    Compared,
    SnapshotResults,
    compare,
    diff_lines,
    recorded_reply,
    snapshot_form,
    snapshot_problems,
)
from tests.evals_run import write_task

# Any text that a reply can hold, lone surrogates included.
TEXTS = st.text(st.characters())
NAMES = st.text(st.characters(), min_size=1, max_size=120)


@pytest.fixture
def case(tmp_path: Path) -> GoldenCase:
    """`one?`, whose answer needs a small letter (`regex`) and the word `right` (`keywords`)."""
    write_task(tmp_path)
    return load_golden(tmp_path, ())[0].cases[0]


def compared(case: GoldenCase, old: str, new: str) -> Compared:
    return compare("tiny", case, "one?", snapshot_form(ModelReply(old)), ModelReply(new))


@given(TEXTS, st.text(), st.booleans())
def test_a_snapshot_gives_back_text_and_stop_reason_and_whether_there_was_thinking(
    text: str, reason: str, thought: bool
) -> None:
    reply = ModelReply(text=text, stop_reason=reason, thinking="Let me see." if thought else "")

    read = recorded_reply(snapshot_form(reply))

    assert (read.text, read.stop_reason, bool(read.thinking)) == (text, reason, thought)
    assert classify(read) is classify(reply)


def test_a_snapshot_is_the_text_as_it_is_behind_one_line() -> None:
    reply = ModelReply(text="a\r\nb\0 ü\n", stop_reason="length", thinking="Hm.")

    assert snapshot_form(reply) == b"stop_reason: length, thinking\na\r\nb\0 \xc3\xbc\n"


def test_a_stop_reason_cannot_pass_for_text_or_for_thinking() -> None:
    hostile = ModelReply(text="no", stop_reason="stop, thinking\nIt is right.")

    assert snapshot_form(hostile).count(b"\n") == 1
    assert recorded_reply(snapshot_form(hostile)).thinking == ""


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "first line"),
        (b"It is right.\n", "first line"),
        (b"stop_reason: stop", "first line"),
        (b"stop_reason: \\x\nyes", "no stop reason"),
        (b'stop_reason: "\nyes', "no stop reason"),
        (b"stop_reason: stop\n\xff", "UTF-8"),
    ],
)
def test_what_is_no_snapshot_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(SnapshotError, match=what):
        recorded_reply(data)


def test_the_same_bytes_are_the_same(case: GoldenCase) -> None:
    assert compared(case, "It is right.", "It is right.").verdict == "same"


def test_other_words_with_the_same_verdicts_drift(case: GoldenCase) -> None:
    found = compared(case, "It is right.", "right, it is")

    assert (found.verdict, found.flips) == ("drift", ())
    assert found.diff[3:] == (" stop_reason: stop", "-It is right.", "+right, it is")


@pytest.mark.parametrize(
    ("old", "new", "way", "before", "now"),
    [("It is right.", "no", "worse", "pass", "fail"), ("no", "It is right.", "better", "fail", "pass")],
)
def test_a_check_that_ends_otherwise_flips(
    case: GoldenCase, old: str, new: str, way: str, before: str, now: str
) -> None:
    found = compared(case, old, new)

    assert (found.verdict, found.direction) == ("flipped", way)
    assert [(flip.check, flip.before, flip.now) for flip in found.flips] == [("keywords", before, now)]


def test_a_check_that_is_worse_outweighs_one_that_is_better(case: GoldenCase) -> None:
    found = compared(case, "no", "RIGHT")  # no small letter, and the word

    assert {flip.check: flip.now for flip in found.flips} == {"regex": "fail", "keywords": "pass"}
    assert found.direction == "worse"


def test_an_answer_that_was_cut_off_flips_though_its_text_is_the_same(case: GoldenCase) -> None:
    old = snapshot_form(ModelReply("It is right."))
    found = compare("tiny", case, "one?", old, ModelReply("It is right.", stop_reason="length"))

    assert {flip.now for flip in found.flips} == {"fail"}
    assert [line for line in found.diff[3:] if line[0] != " "] == [
        "-stop_reason: stop",
        "+stop_reason: length",
    ]


def test_a_recorded_answer_that_was_all_thinking_is_judged_as_that() -> None:
    read = recorded_reply(b"stop_reason: length, thinking\n")

    assert classify(read) is ReplyOutcome.THINKING_ONLY


def test_the_recorded_answer_is_judged_by_the_checks_of_today(case: GoldenCase) -> None:
    stricter = replace(case, checks=case.checks[:1])

    assert compared(case, "It is right.", "no").verdict == "flipped"
    assert compared(stricter, "It is right.", "no").verdict == "drift"


def test_without_a_snapshot_an_answer_is_unrecorded(case: GoldenCase) -> None:
    assert compare("tiny", case, "one?", None, ModelReply("no")).verdict == "unrecorded"


def test_comparisons_survive_their_trip_to_the_controller(case: GoldenCase) -> None:
    found = compared(case, "no", "It is right.")

    assert Compared.from_json(found.to_json()) == found


def test_a_diff_tells_line_ends_apart() -> None:
    assert diff_lines(b"a\r\nb", b"a\nb")[3:] == ["-a\r", "+a", " b"]


def test_a_diff_of_endless_answers_is_of_their_beginnings_and_says_so() -> None:
    found = diff_lines(b"a\n" * 5000, b"b\n" * 5000)

    assert len([line for line in found[2:] if line[0] in "-+"]) == 2 * DIFF_LINES_READ
    assert "only the first 1,000 lines" in found[-1]


def test_counts_tell_new_from_unrecorded_and_leave_out_what_there_is_none_of() -> None:
    verdict = Compared("tiny", "small", "q0", "unrecorded")
    results = SnapshotResults([verdict, replace(verdict, written=True), replace(verdict, verdict="same")])

    assert results.counts == {"same": 1, "new": 1, "unrecorded": 1}


def test_only_strictness_holds_flips_against_a_run() -> None:
    one = Compared("tiny", "small", "q0", "flipped")
    both = [
        one,
        replace(one, verdict="unrecorded"),
        replace(one, verdict="drift"),
        replace(one, written=True),
    ]

    assert snapshot_problems(both, strict=False) == []
    assert "2 of 4 answers flipped or are unrecorded" in snapshot_problems(both, strict=True)[0]


def test_what_could_not_be_compared_is_held_against_every_run() -> None:
    lost = Compared("tiny", "small", "q0", "uncompared", problem="no reply: 503")

    assert snapshot_problems([lost], strict=False) == [
        "1 of 1 answers could not be compared with their snapshots"
    ]


@given(st.tuples(NAMES, NAMES, NAMES), st.tuples(NAMES, NAMES, NAMES))
def test_no_two_answers_share_a_file_on_any_file_system(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    name = file_name(*one)

    assert (file_name(*other) == name) == (one == other)
    assert name == name.lower() and len(name) < 200
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-%~")


@pytest.mark.parametrize(
    ("one", "other"),
    [("qwen3:4b", "Qwen3:4b"), ("a~b", "a"), ("gguf:" + "x" * 90, "gguf:" + "x" * 91), ("ä", "a\u0308")],
)
def test_models_that_look_alike_have_files_of_their_own(one: str, other: str) -> None:
    assert file_name(one, "b", "c") != file_name(other, "b", "c")


def test_a_usual_name_can_be_read() -> None:
    name = file_name("qwen3:4b", "minecraft_ops", "give-diamonds")

    assert name == "qwen3%3a4b~minecraft_ops~give-diamonds.txt"


def test_only_files_of_the_model_itself_count_as_its_snapshots(tmp_path: Path) -> None:
    (tmp_path / file_name("qwen3:4b-q8", "small", "q0")).touch()
    (tmp_path / "qwen3%3a4b~notes.md").touch()

    assert not holds_any(tmp_path, ["qwen3:4b"])
    assert holds_any(tmp_path, ["other", "qwen3:4b-q8"])
    assert not holds_any(tmp_path / "absent", ["qwen3:4b"])


def test_left_over_are_files_of_these_models_and_tasks_alone(tmp_path: Path) -> None:
    for model, task, case in [
        ("tiny", "small", "q0"),
        ("tiny", "small", "gone"),
        ("tiny", "smaller", "gone"),
        ("tinier", "small", "gone"),
    ]:
        (tmp_path / file_name(model, task, case)).touch()

    assert left_over(tmp_path, ["tiny"], {"small": ["q0", "q1"]}, every_task=False) == [
        tmp_path / file_name("tiny", "small", "gone")
    ]
    assert left_over(tmp_path / "absent", ["tiny"], {"small": []}, every_task=True) == []


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SettingsError, match=r"name another folder with --snapshots DIR"):
        refuse_unwritable(tmp_path / "file" / "snapshots")


def test_a_folder_is_made_where_there_is_none(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "a" / "b")

    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_snapshot_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    in_the_way = tmp_path / "a.txt"
    in_the_way.mkdir()

    with pytest.raises(OSError):
        write_snapshot(in_the_way, b"new")

    assert list(tmp_path.iterdir()) == [in_the_way]
