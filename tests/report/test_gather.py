"""The data of `report.html`, from run records as they lie on disk: one run, several, damaged ones, large ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.backends.base import Model, ModelReply, parse_spec
from evals.errors import RunRecordError, SettingsError
from evals.flips import Flip
from evals.imported import import_table
from evals.report.chart_heat import heat_map
from evals.report.gather import gather, write_report
from evals.report.html import html_report
from evals.report.html_cases import cases_json
from evals.report.page import WHOLE, Page
from evals.runs import run_folder
from evals.snapshots import SNAPSHOTS_FILE, Compared
from evals.verdict import Difference, Side, Verdict
from tests.golden_folder import CASES, TASK, edited, write_golden
from tests.records import check, run_info
from tests.report.recorded_runs import line, the_task, write_run

DOCS = Path(__file__).parents[2] / "docs"
TWO_CASES = CASES + "- {id: sea, input: The sea., expect: {keywords: [green]}, reference: green}\n"
WITH_SYSTEM = TASK + "system: Answer in one word.\n"


def texts(page: Page) -> list[str]:
    """All replies on a page."""
    return [reply.text for case in page.cases for reply in case.replies]


def test_a_run_becomes_columns_and_cases_with_their_replies_side_by_side(tmp_path: Path) -> None:
    golden = write_golden(tmp_path / "golden", WITH_SYSTEM, TWO_CASES)
    folder = write_run(
        tmp_path / "run",
        [
            line(check("fail", extracted={"found": []}), model="weak", text="red", tags=("easy",)),
            line(check("fail"), model="weak", case="sea", text="red again", thinking="hm"),
            line(check(), model="strong", text="blue"),
            line(check("fail"), model="strong", case="sea", text="black"),
        ],
        the_task(golden)[1],
    )

    page = gather([folder], golden)

    assert page.title == "strong, weak"
    assert [column.label for column in page.models] == ["strong", "weak"]
    assert (page.models[0].overall[WHOLE].rate, page.models[1].overall[WHOLE].rate) == (0.5, 0.0)
    assert page.models[0].tasks["colours"]["content"].floor == 0.5
    assert (page.task_names, page.capabilities) == (("colours",), ("content",))
    assert page.gate == (("The gate does not hold.", ("colours content is below its floor",)),)
    assert page.systems == ("Answer in one word.",)
    sky, sea = page.cases
    assert (sky.case, sky.prompt, sky.system, sky.tags) == ("sky", "The sky above us.", 0, ("easy",))
    assert [(reply.model, reply.text) for reply in sky.replies] == [(0, "blue"), (1, "red")]
    assert sea.replies[1].thinking == "hm"
    weak = sky.replies[1]
    assert (weak.checks[0].extracted, weak.checks[0].reason) == ('{"found": []}', "lacks 'blue'")
    assert (weak.seconds, weak.tokens, weak.cut) == (2.0, 20, 0)
    assert page.notes == ()


def test_figures_of_a_model_leave_out_what_was_stored_or_never_came(tmp_path: Path) -> None:
    model = Model(parse_spec("small:1b"), "d" * 64, details={"size_bytes": 5_000_000})
    fault: dict[str, Any] = {
        "outcome": "infrastructure",
        "fault": "refused",
        "timings": {"total_s": 9.0},
        "tokens": {},
    }
    folder = write_run(
        tmp_path / "run",
        [
            line(case="a", timings={"total_s": 3.0}),
            line(case="b", timings={"total_s": 1.0}),
            line(case="c", timings={"total_s": 0.1}, stored=True),
            line(check("unscored"), case="d", **fault),
        ],
        models=(model,),
    )

    page = gather([folder], None)

    (column,) = page.models
    assert (column.latencies, column.latency_s, column.size_bytes) == ((1.0, 3.0), 2.0, 5_000_000)
    assert (column.tokens_a_reply, dict(column.outcomes)) == (15.0, {"answered": 3, "infrastructure": 1})
    assert [case.replies[0].seconds for case in page.cases] == [3.0, 1.0, None, 9.0]
    assert page.cases[3].replies[0].fault == "refused"


def test_repeats_stand_beside_each_other_and_count_with_their_mean(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run",
        [line(check(end), repeat=n, text=end, response=f"key{n}") for n, end in enumerate(["pass", "fail"])],
    )

    page = gather([folder], None)

    assert page.models[0].overall[WHOLE].rate == 0.5
    assert [(one.repeat, one.text) for one in page.cases[0].replies] == [(0, "pass"), (1, "fail")]


def test_models_of_several_runs_have_labels_of_their_own_and_share_cases(tmp_path: Path) -> None:
    golden = write_golden(tmp_path / "golden")
    facts = the_task(golden)[1]
    monday = write_run(tmp_path / "monday", [line(check("fail"), text="red")], facts)
    tuesday = write_run(tmp_path / "tuesday", [line(text="blue"), line(model="big", text="azure")], facts)

    page = gather([monday, tuesday, monday], golden)

    assert [column.label for column in page.models] == ["big", "small:1b (tuesday)", "small:1b (monday)"]
    assert [column.run for column in page.models] == ["tuesday", "tuesday", "monday"]
    (case,) = page.cases
    assert [(one.model, one.text) for one in case.replies] == [(0, "azure"), (1, "blue"), (2, "red")]
    assert [sentence for sentence, _ in page.gate] == [
        "monday: The gate does not hold.",
        "tuesday: The gate does not hold.",
    ]


def test_a_task_that_changed_between_runs_is_told_and_its_cases_stand_apart(tmp_path: Path) -> None:
    golden = write_golden(tmp_path / "golden")
    facts = the_task(golden)[1]
    before = {"colours": {**facts["colours"], "hash": "0" * 64}}
    old = write_run(tmp_path / "old", [line(text="red")], before)
    new = write_run(tmp_path / "new", [line(text="blue")], facts)

    page = gather([old, new], golden)

    assert sorted((case.prompt or "", case.replies[0].text) for case in page.cases) == [
        ("", "red"),
        ("The sky above us.", "blue"),
    ]
    assert page.notes == (
        "these tasks differ from run to run, so their rates cannot be compared: colours",
        "some prompts are not shown, since their tasks were changed or are not there any more: colours",
    )


def test_models_that_were_asked_different_cases_are_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [line(), line(case="sea"), line(model="big")])

    assert "not all models were asked the same cases: colours" in gather([folder], None).notes


def test_models_that_were_asked_different_tasks_are_told_and_have_no_row_of_all_tasks(tmp_path: Path) -> None:
    facts = {name: {"hash": name[0] * 64} for name in ("colours", "shapes", "sounds")}
    one = write_run(tmp_path / "one", [line(model="one"), line(model="one", task="shapes")], facts)
    two = write_run(tmp_path / "two", [line(model="two"), line(model="two", task="sounds")], facts)
    said = "not all models were asked the same tasks, so their rates over all tasks cannot be compared: "

    apart, alone = gather([one, two], None), gather([one], None)

    assert f"{said}shapes, sounds" in apart.notes
    assert "the tasks that each model was asked" in html_report(apart)
    assert not [note for note in alone.notes if note.startswith(said)]
    assert "Pass rates over 2 tasks" in html_report(alone)
    assert ["all tasks" in str(heat_map(page)) for page in (apart, alone)] == [False, True]


def test_figures_of_other_tasks_from_elsewhere_are_told_too(tmp_path: Path) -> None:
    table = import_table(DOCS / "examples" / "mortdecai.csv", tmp_path, task="minecraft", cases=31)
    run = write_run(tmp_path / "run", [line()])

    assert [one for one in gather([table, run], None).notes if one.endswith("compared: colours, minecraft")]


def test_without_the_golden_task_there_is_no_prompt_and_a_note_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [line()])
    other = write_golden(tmp_path / "other", name="shapes", task=TASK.replace("colours", "shapes"))

    without, elsewhere = gather([folder], None), gather([folder], other)

    assert without.cases[0].prompt is None and without.systems == ()
    assert without.notes == (
        "prompts are not shown: there is no golden folder here; name it with --golden DIR",
    )
    assert elsewhere.notes[0].endswith("are not there any more: colours")
    with pytest.raises(SettingsError, match="there is no golden folder"):
        gather([folder], tmp_path / "nowhere")


def test_tasks_that_cannot_be_read_any_more_only_cost_their_prompts(tmp_path: Path) -> None:
    golden = write_golden(tmp_path / "golden")
    folder = write_run(tmp_path / "run", [line()], the_task(golden)[1])
    (golden / "colours" / "task.yaml").write_text(edited(TASK, {5: "- {kind: nonsense}"}))

    page = gather([folder], golden)

    assert page.cases[0].prompt is None and page.cases[0].replies[0].text == "It is blue."


def test_what_is_special_about_a_run_is_noted(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", [line()], rescored="first", spared=40, unavailable={"gone:1b": "no such model"}
    )

    notes = gather([folder], None).notes

    assert notes[:3] == (
        "run is today's checks on the replies of first",
        "run was stopped early: 40 requests were not asked",
        "run did not ask gone:1b: no such model",
    )


def flip(model: str, case: str, before: str, now: str) -> Compared:
    """A snapshot whose verdict is another now."""
    one = Flip(model, "colours", case, 0, "keywords", before, now, "found blue", "lacks 'blue'")
    return Compared(model, "colours", case, "flipped", (one,), ("--- snapshot", "+++ now", "-blue", "+red"))


def test_flips_of_snapshots_are_shown_those_that_are_worse_first(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [line()])
    same = Compared("small:1b", "colours", "sun", "same")
    lines = [flip("small:1b", "sea", "fail", "pass"), same, flip("small:1b", "sky", "pass", "fail")]
    (folder / SNAPSHOTS_FILE).write_text("".join(json.dumps(one.to_json()) + "\n" for one in lines))

    worse, better = gather([folder], None).flips

    assert (worse.model, worse.case, worse.reason) == (
        "small:1b",
        "sky",
        "keywords: pass -> fail: lacks 'blue'",
    )
    assert worse.diff == ("--- snapshot", "+++ now", "-blue", "+red")
    assert (better.case, better.reason) == ("sea", "keywords: fail -> pass: no longer: found blue")


def verdict(candidate: str, baseline: str, *runs: str) -> Verdict:
    """A verdict without figures."""
    sides = (Side(candidate, "d" * 64, ("new",)), Side(baseline, "d" * 64, runs))
    return Verdict("promote", "Promote.", (), *sides, (), ())


def test_a_verdict_is_shown_with_the_replies_of_the_recorded_baseline_beside(tmp_path: Path) -> None:
    lines = [
        line(model="base", text="red"),
        line(model="base", case="sea"),
        line(model="third", text="green"),
    ]
    write_run(tmp_path / "old", lines)
    new = write_run(tmp_path / "new", [line(model="tuned", text="blue")])
    (new / "verdict.json").write_text(json.dumps(verdict("tuned", "base", "old", "../old", "lost").to_json()))

    page = gather([new], None)

    assert page.title == "tuned beside base"
    assert page.verdict is not None and page.verdict.verdict == "promote"
    assert [column.model for column in page.models] == ["base", "tuned"]
    assert texts(page) == ["red", "blue"]
    assert page.models[0].overall[WHOLE].n == 1  # of the candidate's cases, not of all that it was asked
    assert len(page.gate) == 1


def test_a_baseline_in_the_same_run_is_held_to_no_floor(tmp_path: Path) -> None:
    facts = {"colours": {"hash": "a" * 64, "gate": {"floors": {"content": 0.9}}}}
    lines = [line(check("fail"), model="base"), line(check("fail"), model="tuned")]
    folder = write_run(tmp_path / "run", lines, facts, settings={"baseline": "base"})

    page = gather([folder], None)

    held = {column.label: column.tasks["colours"]["content"].holds for column in page.models}
    assert held == {"base": None, "tuned": False}


def test_a_page_of_several_runs_is_called_by_its_models_and_says_whose_verdict_it_shows(
    tmp_path: Path,
) -> None:
    tuned = write_run(tmp_path / "tuned", [line(model="tuned")])
    (tuned / "verdict.json").write_text(json.dumps(verdict("tuned", "base", "old").to_json()))
    third = write_run(tmp_path / "third", [line(check("fail"), model="third")])

    both, alone = gather([tuned, third], None), gather([tuned], None)

    assert (both.title, both.verdict_of) == ("tuned, third", "tuned")
    assert "It is the verdict of the run tuned alone." in html_report(both)
    assert (alone.title, alone.verdict_of) == ("tuned beside base", "")
    assert "alone." not in html_report(alone).partition("<main")[2].partition("<script")[0]


def test_a_baseline_whose_name_no_file_can_have_is_not_looked_for(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [line()])
    told = verdict("tuned", "base", "x" * 4000, "\0")
    (folder / "verdict.json").write_text(json.dumps(told.to_json()))

    assert len(gather([folder], None).models) == 1


def test_a_figure_that_no_page_can_show_is_a_sentence(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [line()])
    told = replace(verdict("tuned", "base"), differences=(difference(low=-4.0),))
    (folder / "verdict.json").write_text(json.dumps(told.to_json()))

    with pytest.raises(
        RunRecordError, match=r"no page can be made of .*run: a difference in colours is -4\.0"
    ):
        write_report([folder], None, tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()


def difference(**changed: Any) -> Difference:
    """A difference over ten cases."""
    figures: dict[str, Any] = {"baseline": 0.5, "candidate": 0.5, "difference": 0.0, "low": -0.1, "high": 0.1}
    counts: dict[str, Any] = {"lost": 0, "won": 0, "p": 1.0, "p_holm": 1.0, "cases": 10, "units": 10}
    return Difference("colours", "content", method="tango", **{**figures, **counts, **changed})


def test_verdicts_of_several_runs_are_left_to_their_own_pages(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / name, [line(model=name)]) for name in ("one", "two")]
    for folder in folders:
        (folder / "verdict.json").write_text(json.dumps(verdict(folder.name, "base").to_json()))

    page = gather(folders, None)

    assert page.verdict is None
    assert "each of these runs has a verdict of its own, shown on its own page: one, two" in page.notes


def test_the_imported_table_is_a_page_of_seven_models_without_cases(tmp_path: Path) -> None:
    folder = import_table(DOCS / "examples" / "mortdecai.csv", tmp_path, task="minecraft", cases=31)

    page = gather([folder], None)

    assert len(page.models) == 7
    assert max(page.models, key=lambda one: one.overall["command"].rate).label == "gemma3n:e4b"
    assert page.models[0].label == "gemma3n:e4b"
    command = page.models[0].overall["command"]
    assert (command.passes, command.n, round(command.rate, 3)) == (25, 31, 0.806)
    assert (page.models[0].latency_s, page.models[0].tokens_a_reply) == (5.9, 98.0)
    assert (page.cases, page.models[0].latencies) == ((), ())
    assert WHOLE not in page.models[0].overall
    assert page.notes == (f"{folder.name} holds figures from elsewhere: no cases, no replies",)
    assert page == replace(
        gather([DOCS / "examples" / "mortdecai"], None),
        **{name: getattr(page, name) for name in ("notes", "facts", "models")},
    )


def test_models_with_whole_cases_stand_before_those_with_figures_only(tmp_path: Path) -> None:
    table = import_table(DOCS / "examples" / "mortdecai.csv", tmp_path, task="minecraft", cases=31)
    run = write_run(tmp_path / "run", [line(check("fail"), model="own")])

    assert gather([table, run], None).models[0].label == "own"


@pytest.mark.parametrize("models", [(), ("timed:1b",)])
def test_a_run_that_judged_nothing_is_nothing_to_report(tmp_path: Path, models: tuple[str, ...]) -> None:
    folder = write_run(tmp_path / "run", [], models=run_info(*models).models if models else ())
    (folder / "results.jsonl").touch()

    with pytest.raises(RunRecordError, match=r"nothing was judged in .*run: there is nothing to report"):
        gather([folder], None)


def test_a_run_is_found_by_its_folder_or_its_name(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "reports" / "run", [line()])

    assert run_folder(str(folder), tmp_path) == folder
    assert run_folder("run", tmp_path / "reports") == folder
    for missing in ("nope", ""):
        with pytest.raises(RunRecordError, match="there is no run"):
            run_folder(missing, tmp_path / "reports")


def test_long_texts_are_shortened_so_that_a_large_run_fits_six_megabytes(tmp_path: Path) -> None:
    checks = [check(name=f"check{number}", extracted={"words": ["word"] * 20}) for number in range(4)]
    lines = [
        line(
            *checks,
            model=f"m{model}",
            case=f"c{case:03}",
            text="<p>é</p> " * 300 + str(model),
        )
        for model in range(7)
        for case in range(500)
    ]
    lines[0] = (lines[0][0], ModelReply("short"))
    folder = write_run(tmp_path / "run", lines)

    page = gather([folder], None)

    size = len(cases_json(page).encode())
    assert 4_000_000 < size < 5_500_000
    assert page.cases[0].replies[0].text == "short" and page.cases[0].replies[0].cut == 0
    long = page.cases[1].replies[0]
    assert long.cut == len("<p>é</p> " * 300 + "0") - len(long.text) > 0
    assert page.notes[-1] == "3,499 long texts are shortened here; whole replies stand in replies.jsonl"


def test_a_line_of_a_megabyte_leaves_the_others_whole(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [line(text="x" * 20_000_000), line(case="sea", text="y" * 100_000)])

    long, short = gather([folder], None).cases

    assert (short.replies[0].text, short.replies[0].cut) == ("y" * 100_000, 0)
    assert len(long.replies[0].text) + long.replies[0].cut == 20_000_000
    assert 4_000_000 < len(long.replies[0].text) < 5_000_000
