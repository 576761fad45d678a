"""Servers that are killed, that never come back, that have too much to do, that never end a reply, and dead hosts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault_server import ANSWER, HANG, SILENT, FaultServer, Play, answer, closed_port, error, piece
from tests.faults.played_run import PlayedRun, judged, wait_until
from tests.faults.served import Served

COUNT = 20


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server that takes 0.1 s for each answer, in a process that can be killed."""
    with Served(tmp_path, delay_s=0.1) as served:
        yield served


@pytest.fixture
def played(tmp_path: Path, served: Served) -> Iterator[PlayedRun]:
    """Twenty cases on that server."""
    played = PlayedRun(tmp_path, served.url, COUNT)
    yield played
    left = played.alive()
    played.stop()
    assert not left, "processes outlived their run"


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_a_server_killed_on_the_way_and_started_again_costs_no_reply(
    played: PlayedRun, served: Served, percent: int
) -> None:
    running = played.start("--concurrency", "2")
    wait_until(lambda: len(served.questions) > COUNT * percent // 100, "the share that was to be asked")
    served.kill()
    kept = played.kept()
    time.sleep(1)  # until it is missed, which nothing outside of the run tells
    served.start()

    done = played.finish(running)

    assert done.status == 0, done.out
    assert judged(done.folder) == played.whole()
    assert f"{served.url} was away " in " ".join(done.out.split())
    assert [question for question in kept if served.questions.count(question) != 1] == []
    # Only what was under way at the server's death is asked twice.
    assert COUNT < len(served.questions) <= COUNT + 2


def test_a_server_gone_for_good_ends_the_run_and_the_same_command_asks_only_for_the_rest(
    played: PlayedRun, served: Served
) -> None:
    running = played.start("--concurrency", "2", "--server-wait", "2")
    wait_until(lambda: len(served.questions) > COUNT // 2, "half of the questions")
    served.kill()
    done = played.finish(running)
    kept = played.kept()

    assert done.status == 1
    outcomes = judged(done.folder)
    assert outcomes.keys() == played.whole().keys()
    assert sorted(outcomes.values()) == ["answered"] * len(kept) + ["infrastructure"] * (COUNT - len(kept))
    assert "went away and did not come back within 2 s (--server-wait)" in " ".join(done.out.split())

    before = len(served.questions)
    served.start()
    again = played.run()
    assert again.status == 0, again.out
    assert judged(again.folder) == played.whole()
    assert set(served.questions[before:]) == set(played.questions) - kept
    assert len(served.questions) - before == COUNT - len(kept)


def test_a_run_killed_while_its_server_is_away_goes_on_once_it_is_back(
    played: PlayedRun, served: Served
) -> None:
    running = played.start("--concurrency", "1")
    wait_until(played.recorded, "a reply in the record")
    served.kill()
    played.kill(running)
    (folder,) = played.recorded()
    kept = played.kept()

    away = played.resume(folder)
    assert away.status == 4
    assert f"no Ollama server at {served.url}" in away.out

    before = len(served.questions)
    served.start()
    done = played.resume(folder)
    assert done.status == 0, done.out
    assert judged(folder) == played.whole()
    assert set(served.questions[before:]) == set(played.questions) - kept


def test_a_host_that_is_dead_from_the_start_costs_nothing(played: PlayedRun, served: Served) -> None:
    dead = f"127.0.0.1:{closed_port()}"
    done = played.run("--ollama-host", dead)
    assert done.status == 0, done.out
    assert f"http://{dead} is left out" in " ".join(done.out.split())
    assert judged(done.folder) == played.whole()
    assert sorted(served.questions) == sorted(played.questions)


def test_a_host_that_dies_in_the_middle_leaves_its_cases_to_the_others(
    played: PlayedRun, served: Served, tmp_path: Path
) -> None:
    with Served(tmp_path, delay_s=0.1) as second:
        running = played.start("--concurrency", "2", "--server-wait", "1", "--ollama-host", second.url)
        wait_until(lambda: len(second.questions) > 2, "some questions to the second host")
        second.kill()
        kept = played.kept()
        done = played.finish(running)
        asked = [*served.questions, *second.questions]

    assert done.status == 0, done.out
    assert judged(done.folder) == played.whole()
    assert f"{second.url} went away" in done.out
    assert [question for question in kept if asked.count(question) != 1] == []
    assert len(asked) <= COUNT + 2


def test_where_all_hosts_die_the_run_ends_and_tells_what_is_missing(
    played: PlayedRun, served: Served, tmp_path: Path
) -> None:
    with Served(tmp_path, delay_s=0.1) as second:
        running = played.start("--concurrency", "1", "--server-wait", "1", "--ollama-host", second.url)
        wait_until(lambda: len(second.questions) > 2, "some questions to the second host")
        second.kill()
        served.kill()
        done = played.finish(running)

    assert done.status == 1
    outcomes = judged(done.folder)
    assert outcomes.keys() == played.whole().keys()
    assert list(outcomes.values()).count("answered") == len(played.kept())
    assert "did not come back within 1 s" in " ".join(done.out.split())


class _ByDigest(FaultServer):
    """A server whose answers name the digest of the model that gives them."""

    def answer_to(self, path: str, raw: bytes) -> Play:
        if path == "/api/chat":
            return answer(f"right, says {self.digest('tiny:latest')}")
        return super().answer_to(path, raw)


def texts_of(folder: Path) -> list[str]:
    """The texts of a run's replies."""
    lines = (folder / "replies.jsonl").read_text().splitlines()
    return [json.loads(line)["reply"]["text"] for line in lines]


def test_a_model_created_anew_between_two_runs_never_meets_old_answers(tmp_path: Path) -> None:
    with _ByDigest() as server:
        played = PlayedRun(tmp_path, server.url)
        first = played.run().folder
        old = texts_of(first)
        assert set(old) == {f"right, says {server.digest('tiny:latest')}"}

        server.recreate("tiny:latest")
        again = played.run()
        assert again.status == 0, again.out
        assert again.folder != first and texts_of(first) == old
        assert judged(again.folder) == played.whole()
        assert set(texts_of(again.folder)) == {f"right, says {server.digest('tiny:latest')}"}
        assert sorted(server.questions) == sorted(2 * played.questions)


def test_a_model_created_anew_in_the_middle_of_a_run_mixes_into_none(tmp_path: Path) -> None:
    with _ByDigest(delay_s=0.2) as server:
        played = PlayedRun(tmp_path, server.url)
        first_digest = server.digest("tiny:latest")
        running = played.start("--concurrency", "1")
        wait_until(lambda: len(played.kept()) >= 3, "three replies in the store")
        server.recreate("tiny:latest")
        done = played.finish(running)

        assert done.status == 1
        outcomes = judged(done.folder)
        assert outcomes.keys() == played.whole().keys()
        assert set(outcomes.values()) == {"answered", "infrastructure"}
        assert set(texts_of(done.folder)) == {f"right, says {first_digest}"}
        assert "answers with another model under the name tiny" in " ".join(done.out.split())

        for entry in (played.cache / "responses").glob("*/*.json"):
            body = json.loads(json.loads(entry.read_text())["body"])
            assert body["reply"]["text"] == f"right, says {body['digest']}"

        server.asked.clear()
        again = played.run()
        assert again.status == 0, again.out
        assert set(texts_of(again.folder)) == {f"right, says {server.digest('tiny:latest')}"}
        assert sorted(server.questions) == sorted(played.questions)


BUSY = error(429, "too many requests")


def test_a_storm_of_refusals_with_and_without_retry_after_loses_nothing(tmp_path: Path) -> None:
    with FaultServer() as server:
        played = PlayedRun(tmp_path, server.url)
        server.play(*[BUSY] * 8, *[error(429, "later", retry_after="1")] * (COUNT - 8))
        done = played.run("--concurrency", "8")
    assert done.status == 0, done.out
    assert judged(done.folder) == played.whole()
    assert len(server.chats) == COUNT + len(played.questions)
    assert "replies came only after asking again" in done.out


def test_a_storm_that_never_ends_is_given_up_and_told(tmp_path: Path) -> None:
    with FaultServer() as server:
        played = PlayedRun(tmp_path, server.url)
        server.play_for("question 0?", ANSWER)
        for question in played.questions[1:]:
            server.play_for(question, BUSY)
        done = played.run("--concurrency", "1", "--server-wait", "2")
        assert done.status == 1
        assert judged(done.folder) == {**played.whole("infrastructure"), ("tiny", "q0"): "answered"}
        assert "the server answered 429: too many requests" in " ".join(done.out.split())


ENDLESS = {
    "question 2?": Play((piece("on "),) * 4000, pause_s=0.02, end="hang"),
    "question 4?": HANG,
    "question 6?": SILENT,
}


def test_replies_that_never_end_are_given_up_after_the_reply_timeout(tmp_path: Path) -> None:
    with FaultServer() as server:
        played = PlayedRun(tmp_path, server.url)
        for question, reply in ENDLESS.items():
            server.play_for(question, reply, ANSWER)
        done = played.run("--reply-timeout", "2")
        assert done.status == 1
        lost = {("tiny", f"q{number}"): "infrastructure" for number in (2, 4, 6)}
        assert judged(done.folder) == {**played.whole(), **lost}
        assert "no whole reply within 2 s (--reply-timeout)" in " ".join(done.out.split())

        server.asked.clear()
        again = played.run()
        assert again.status == 0, again.out
        assert judged(again.folder) == played.whole()
        assert sorted(server.questions) == list(ENDLESS)
