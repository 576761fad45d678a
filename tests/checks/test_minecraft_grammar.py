"""One text is one command: what the grammar takes, what it refuses and why, and what it sees in either."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.checks.minecraft.grammar import MAX_LENGTH, parse, parse_short, verbs_of
from evals.checks.minecraft.ids import VERSIONS, load_ids, unsupported
from evals.checks.minecraft.make_ids import collect, effect_id, state_signature

DATA = Path(__file__).parent / "data"
VERSION = "1.21"


def rows(name: str) -> list[Any]:
    table = yaml.safe_load((DATA / name).read_text("utf-8"))
    return [pytest.param(row, id=row["id"].replace(" ", "-")) for row in table]


@pytest.mark.parametrize("row", rows("valid_commands.yaml"))
def test_a_valid_command_is_taken(row: dict[str, Any]) -> None:
    parsed = parse(row["command"], VERSION)

    assert (parsed.problem, parsed.cause) == ("", "")
    if "does" in row:
        assert [str(action) for action in parsed.actions] == row["does"]
    assert set(row.get("ids", [])) <= set(parsed.ids)


@pytest.mark.parametrize("row", rows("invalid_commands.yaml"))
def test_what_is_no_command_is_refused_with_its_reason(row: dict[str, Any]) -> None:
    parsed = parse(row["command"], VERSION)

    assert parsed.cause == row["cause"]
    assert row["says"] in parsed.problem
    assert len(parsed.problem) < 200, "a reason is for a person, not a list of tokens"
    if "does" in row:
        assert [str(action) for action in parsed.actions] == row["does"]


@pytest.mark.parametrize("start", ["say ", "/", "say a\n", "/minecraft:say "])
def test_what_is_too_long_for_a_command_is_not_kept(start: str) -> None:
    parse_short.cache_clear()

    assert parse(start + "x" * (MAX_LENGTH + 1), VERSION).problem
    assert parse_short.cache_info().currsize == 0
    assert parse("say hi", VERSION) is parse("say hi", VERSION)


def test_the_outer_verb_comes_first() -> None:
    assert parse("execute as @a run return run tell @s hi", VERSION).verbs == ("execute", "return", "tell")


HOSTILE = {
    "nested execute run": "execute as @a run " * 200 + "kil",
    "nested execute just within the bound": "execute " + "as @a at @s " * 13 + "run kil",
    "nested tests": "execute " + "if entity @a " * 25 + "run kil",
    "open brackets": "data merge entity a " + "{a:" * 1200,
    "balanced brackets": "data merge entity a " + "{a:" * 600 + "1" + "}" * 600,
    "open lists": "give a stone[b=" + "[" * 3900,
    "escapes": 'tellraw @a "' + "\\" * 3900,
    "quotes": "tellraw @a " + "'" * 3900,
    "selectors in a message": "say " + "@a" * 1900,
    "filters": "kill @e[" + "tag=a," * 600 + "]",
    "digits": "give a stone " + "1" * 3900,
    "tildes": "tp " + "~" * 3900,
    "runs": "return run " * 350 + "say",
    "command keys": 'data merge block 0 0 0 {Command:"' * 100,
    "open command keys": 'data merge block 0 0 0 {Command:"' + "command:'" * 4000,
    "far too long": "run " * 100_000,
    "far too many places": "execute " + "".join(f"as a{number} " for number in range(20_000)),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=[name.replace(" ", "-") for name in HOSTILE])
def test_hostile_text_ends_in_a_verdict_and_soon(text: str) -> None:
    started = time.perf_counter()

    parsed = parse(text, VERSION)

    assert time.perf_counter() - started < 5
    assert len(parsed.problem) < 300


def test_deep_nesting_is_refused_by_a_bound_that_does_not_depend_on_the_stack() -> None:
    nested = "data merge entity a " + "{a:" * 40 + "1" + "}" * 40

    assert parse(nested, VERSION).cause == "nested too deeply"
    assert parse("data merge entity a " + "{a:" * 20 + "1" + "}" * 20, VERSION).problem == ""


def test_a_command_beyond_the_length_is_refused_but_its_verbs_are_seen() -> None:
    parsed = parse("execute as @a run kill @s " + " " * MAX_LENGTH, VERSION)

    assert parsed.cause == "too long"
    assert [str(action) for action in parsed.actions] == ["execute", "kill @a"]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | st.from_regex(r"(execute|give|kill|say|tp|\W| |@[ae]|run|\[|\]|[~^\d.]){1,12}"))
def test_any_text_gets_a_verdict_and_a_cause_goes_with_a_problem(text: str) -> None:
    parsed = parse(text, VERSION)

    assert bool(parsed.problem) == bool(parsed.cause)
    assert parsed.problem or len(parsed.verbs) >= 1


def test_an_unsupported_version_is_named_with_those_that_are() -> None:
    assert unsupported("1.8") == "Minecraft '1.8' is not supported; supported: 1.21"
    with pytest.raises(ValueError, match=r"supported: 1\.21"):
        parse("stop", "1.8")


@pytest.mark.parametrize("version", VERSIONS)
def test_each_supported_version_has_a_grammar_and_ids_of_every_kind(version: str) -> None:
    ids = load_ids(version)

    assert {"give", "execute", "tp", "stop"} <= verbs_of(version)
    assert min(map(len, ids.known.values())) >= 30
    assert ids.states["oak_log"] == {"axis": ("x", "y", "z")}
    assert {"diamond", "zombie_spawn_egg"} <= ids.known["item"]


def test_effects_get_the_names_that_commands_use() -> None:
    titles = ["Speed", "Hero of the Village", "Dolphin's Grace", "Bad Luck"]

    assert [effect_id(title) for title in titles] == [
        "speed", "hero_of_the_village", "dolphins_grace", "unluck",
    ]  # fmt: skip


def test_the_ids_of_a_version_are_collected_from_minecraft_data(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "pc" / "1.99"
    folder.mkdir(parents=True)
    named: list[dict[str, Any]] = [{"name": "b", "states": []}, {"name": "a", "states": []}]
    files: dict[str, Any] = dict.fromkeys(
        ["items", "blocks", "entities", "enchantments", "biomes", "particles"], named
    )
    files["effects"] = [{"displayName": "Jump Boost"}]
    files["attributes"] = [{"resource": "minecraft:max_health"}]
    files["protocol"] = {"types": {"SlotComponentType": ["mapper", {"mappings": {"0": "damage"}}]}}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")

    made = collect(tmp_path, "1.99")

    assert made["version"] == "1.99"
    assert made["blocks"] == {"": "a b"}
    assert made["ids"]["item"] == "a b"
    assert (made["ids"]["effect"], made["ids"]["attribute"]) == ("jump_boost", "max_health")
    assert set(made["ids"]) | {"block"} == set(load_ids(VERSION).known)


def test_block_states_are_kept_in_one_line() -> None:
    states = [{"name": "waterlogged", "type": "bool"}, {"name": "axis", "type": "enum", "values": ["x", "y"]}]

    assert state_signature(states) == "axis=x|y waterlogged=true|false"
