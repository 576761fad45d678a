"""Any valid task, written as YAML, is read back as it was meant."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from yamlcore import CCoreDumper

from evals.cases import CaseEntry, Options, TaskFile, load_golden
from tests.golden_folder import write_golden

# What pydantic takes for text is what UTF-8 can hold: no lone surrogates.
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.from_regex(re.compile(r"[a-z0-9][a-z0-9_-]{0,8}", re.ASCII), fullmatch=True)
visible = words.filter(lambda text: any(char.isalnum() for char in text))
fractions = st.floats(0, 1)
options = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 9999),
        "temperature": st.floats(0, 2),
        "seed": st.integers(),
        "num_ctx": st.integers(64, 10**6),
        "top_p": st.floats(0, 1, exclude_min=True),
        "stop": st.lists(words, max_size=2),
        "think": st.booleans() | st.sampled_from(["low", "medium", "high"]),
        "format": st.sampled_from(["json", None]),
    },
)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    keyword = draw(visible)
    return {
        "id": draw(names),
        "input": draw(visible),
        "expect": {"keywords": [keyword]},
        "reference": f"{draw(words)}x{keyword}",
        "tags": draw(st.lists(words, max_size=2)),
    }


tasks = st.fixed_dictionaries(
    {
        "task": names,
        "about": words,
        "source": words,
        "options": options,
        "checks": st.just([{"kind": "keywords", "capability": "content"}]),
        "gate": st.fixed_dictionaries({"floors": st.fixed_dictionaries({}, optional={"content": fractions})}),
    },
    optional={"system": words.filter(lambda text: not text.endswith((".md", ".txt")))},
)


@given(task=tasks, entries=st.lists(cases(), min_size=1, max_size=3, unique_by=lambda case: case["id"]))
def test_a_valid_task_is_read_back_as_it_was_written(
    task: dict[str, Any], entries: list[dict[str, Any]]
) -> None:
    texts = [yaml.dump(part, Dumper=CCoreDumper, allow_unicode=True) for part in (task, entries)]

    with tempfile.TemporaryDirectory() as folder:
        (read,) = load_golden(write_golden(Path(folder), texts[0], texts[1], name=task["task"]))

    head = TaskFile.model_validate(task)
    assert (read.name, read.about, read.source, read.system) == (
        head.task,
        head.about,
        head.source,
        head.system or "",
    )
    assert read.options == Options.model_validate(task["options"])
    assert read.gate == head.gate
    for case, entry in zip(read.cases, map(CaseEntry.model_validate, entries), strict=True):
        assert (case.id, case.input, case.reference) == (entry.id, entry.input, entry.reference)
        assert (case.expect, case.tags) == (entry.expect, tuple(entry.tags))
        assert case.checks[0].expect.model_dump() == entry.expect
