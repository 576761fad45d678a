"""Several Ollama servers: which have the model, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import anyio
import pytest

from evals.backends.base import Model, parse_spec
from evals.backends.ollama_hosts import resolve
from evals.errors import ModelUnavailable, SettingsError
from tests import fault_server as faults
from tests.fault_server import FaultServer


@pytest.fixture
def servers() -> Iterator[list[FaultServer]]:
    """Three servers with the same models."""
    with ExitStack() as stack:
        yield [stack.enter_context(FaultServer()) for _ in range(3)]


def look_up(*hosts: str, name: str = "tiny") -> tuple[Model | ModelUnavailable, list[str]]:
    (found,), notes = anyio.run(resolve, [parse_spec(name)], hosts)
    return found, notes


def servers_of(found: Model | ModelUnavailable) -> tuple[str, list[str]]:
    assert isinstance(found, Model)
    return found.details["server"], found.details["servers"]


def test_a_model_is_asked_on_every_server_that_has_it(servers: list[FaultServer]) -> None:
    urls = [one.url for one in servers]
    found, notes = look_up(*urls)
    assert servers_of(found) == (urls[0], urls)
    assert notes == []


def test_a_server_that_is_named_twice_is_asked_once(servers: list[FaultServer]) -> None:
    url = servers[0].url
    found, _notes = look_up(url, f"{url}/", url.removeprefix("http://"))
    assert servers_of(found) == (url, [url])
    assert [one.path for one in servers[0].asked] == ["/api/tags", "/api/show"]


def test_a_server_that_is_named_by_two_names_of_this_machine_is_asked_once(
    servers: list[FaultServer],
) -> None:
    url = servers[0].url
    other = url.replace("127.0.0.1", "localhost")
    assert servers_of(look_up(url, other)[0]) == (url, [url])
    assert servers_of(look_up(other, url)[0]) == (other, [other])


@pytest.mark.parametrize("host", ["ftp://example.org", "http://user:secret@example.org"])
def test_an_address_that_cannot_be_used_is_refused_although_nobody_is_asked_there(host: str) -> None:
    with pytest.raises(SettingsError):
        anyio.run(resolve, [], [host])


def test_where_no_model_is_asked_no_server_is(servers: list[FaultServer]) -> None:
    assert anyio.run(resolve, [], [servers[0].url]) == ([], [])
    assert servers[0].asked == []


def test_a_server_that_is_down_is_left_out_and_told(servers: list[FaultServer]) -> None:
    servers[0].go_away()
    urls = [one.url for one in servers]
    found, notes = look_up(*urls)
    assert servers_of(found) == (urls[1], urls[1:])
    (note,) = notes
    assert note.startswith(f"{urls[0]} is left out: tiny: no Ollama server at {urls[0]} (nothing answers).")


def test_a_server_without_the_model_is_left_out_and_told(servers: list[FaultServer]) -> None:
    del servers[1].models["tiny:latest"]
    urls = [one.url for one in servers]
    found, notes = look_up(*urls)
    assert servers_of(found) == (urls[0], [urls[0], urls[2]])
    (note,) = notes
    assert note.startswith(f"{urls[1]} is left out: tiny is not in Ollama at {urls[1]}")
    assert note.endswith("ollama pull tiny")


def test_a_server_with_another_model_under_the_name_is_left_out_and_told(servers: list[FaultServer]) -> None:
    servers[2].recreate("tiny:latest")
    urls = [one.url for one in servers]
    found, notes = look_up(*urls)
    assert servers_of(found) == (urls[0], urls[:2])
    first, other = (one.digest("tiny:latest")[:12] for one in (servers[0], servers[2]))
    assert notes == [
        f"{urls[2]} is left out: its tiny is another model, digest {other} instead of {first} on {urls[0]}"
    ]


def test_each_model_has_its_own_servers(servers: list[FaultServer]) -> None:
    del servers[0].models["tiny:latest"]
    del servers[1].models["thinker:4b"]
    urls = [one.url for one in servers]
    specs = [parse_spec(name) for name in ("tiny", "thinker:4b", "nothing")]
    (tiny, thinker, nothing), notes = anyio.run(resolve, specs, urls)
    assert servers_of(tiny)[1] == urls[1:]
    assert servers_of(thinker)[1] == [urls[0], urls[2]]
    assert isinstance(nothing, ModelUnavailable)
    assert len(notes) == 2


def test_a_model_that_no_server_has_comes_with_every_reason(servers: list[FaultServer]) -> None:
    servers[0].go_away()
    del servers[1].models["tiny:latest"]
    servers[2].instead["/api/tags"] = faults.whole([])
    found, notes = look_up(*[one.url for one in servers])
    head, *reasons = str(found).splitlines()
    assert head == "tiny is on none of the 3 servers:"
    assert ["no Ollama server at" in reasons[0], "is not in Ollama" in reasons[1]] == [True, True]
    assert "not as Ollama does" in reasons[2]
    assert notes == []


@pytest.mark.parametrize("wrong", ["ftp://x", "example.org:port", "//"])
@pytest.mark.parametrize("first", [True, False])
def test_every_host_of_the_list_must_be_an_address(wrong: str, first: bool) -> None:
    closed = f"http://127.0.0.1:{faults.closed_port()}"
    with pytest.raises(SettingsError, match="is no address") as caught:
        look_up(*((wrong, closed) if first else (closed, wrong)))
    assert repr(wrong) in str(caught.value)
