"""A small model of Hugging Face's format and the real process that asks it, for the tests of its backend."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.backends.base import AskSettings, ChatRequest, Model, ModelReply, parse_spec
from evals.errors import ModelUnavailable
from evals.replies import Replies
from tests.small_hf_model import save_adapter, save_model


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model's folder; not to be changed. Skips where transformers is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers", "peft")):
        pytest.skip("the packages of goldengate[hf] are not installed")
    return save_model(tmp_path_factory.mktemp("hf") / "small")


@pytest.fixture(scope="module")
def adapter(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the small model; not to be changed."""
    return save_adapter(tmp_path_factory.mktemp("hf") / "adapter", small)


@pytest.fixture
def own(small: Path, tmp_path: Path) -> Path:
    """A copy of the small model that a test may spoil."""
    return Path(shutil.copytree(small, tmp_path / "own"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replies]:
    """Replies without a store."""
    replies = Replies(AskSettings(), tmp_path_factory.mktemp("hf") / "generate.log")
    yield replies
    replies.close()


def found(replies: Replies, name: object) -> Model:
    """The model of a folder or ID."""
    (model,) = replies.resolve([parse_spec(f"hf:{name}")])
    assert isinstance(model, Model), model
    return model


def refused(replies: Replies, name: object) -> str:
    """Why a folder or ID cannot be asked."""
    (model,) = replies.resolve([parse_spec(f"hf:{name}")])
    assert isinstance(model, ModelUnavailable), model
    return str(model)


def ask(replies: Replies, model: Model, *requests: ChatRequest) -> list[ModelReply]:
    """The replies to all requests, ordered at once."""
    replies.order(model, requests)
    return [replies.wait(request.key(model.digest)) for request in requests]
