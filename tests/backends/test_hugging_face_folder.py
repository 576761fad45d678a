"""Folders of Hugging Face models: what is taken, what is fetched, what is refused; and that none of it runs."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import pytest

import evals
from evals.backends.base import AskSettings
from evals.replies import Replies
from tests.backends.conftest import ask, found, refused
from tests.conftest import chat_request
from tests.fault_server import closed_port
from tests.small_hf_model import change_json, save_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_the_digest_follows_what_decides_the_answers_and_not_the_folder(
    asked: Replies, small: Path, own: Path
) -> None:
    digest = found(asked, small).digest
    (own / "README.md").write_text("About it.")
    (own / "trainer_state.json").write_text("{}")
    assert found(asked, own).digest == digest
    seen = {digest}
    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja", "generation_config.json"):
        file = own / name
        file.write_bytes(file.read_bytes() + b" ")
        seen.add(found(asked, own).digest)
    assert len(seen) == 5


def test_a_folder_without_a_template_does_not_chat(asked: Replies, tmp_path: Path) -> None:
    bare = save_model(tmp_path / "bare", template=None)
    assert "has no chat template, as base models have none" in refused(asked, bare)


@pytest.mark.parametrize("shard", ["lost-00001.safetensors", "../small/model.safetensors"])
def test_an_index_that_names_files_that_are_not_in_the_folder_is_refused(
    asked: Replies, own: Path, shard: str
) -> None:
    (own / "model.safetensors").unlink()
    change_json(own / "model.safetensors.index.json", weight_map={"a": shard})
    assert f"lacks weights that model.safetensors.index.json names: {shard}" in refused(asked, own)


def test_what_is_no_model_folder_is_a_sentence(asked: Replies, tmp_path: Path, adapter: Path) -> None:
    assert "there is no folder /no/such/folder" in refused(asked, "/no/such/folder")
    assert "there is no folder nothing" in refused(asked, "./nothing")
    assert "holds no weights that can be loaded" in refused(asked, tmp_path)
    assert f"is an adapter; name its base before it: hf:BASE+{adapter}" in refused(asked, adapter)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_a_config_of_another_shape_is_a_sentence(asked: Replies, own: Path, text: str) -> None:
    (own / "config.json").write_text(text)
    assert f"{own / 'config.json'} " in refused(asked, own)


@pytest.mark.parametrize("told", ["LlamaForCausalLM", {"a": "b"}, 7, [7], [["a"]], [None]])
def test_architectures_of_another_shape_are_a_sentence(asked: Replies, own: Path, told: object) -> None:
    change_json(own / "config.json", architectures=told)
    assert f"{own / 'config.json'}: its architectures are no list of names" in refused(asked, own)


@pytest.mark.parametrize("told", [None, []])
def test_a_model_that_tells_no_architecture_is_taken(asked: Replies, own: Path, told: object) -> None:
    change_json(own / "config.json", architectures=told)
    assert found(asked, own).details["architecture"] == "?"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (["default"], "an entry of its chat_template is no mapping with a name"),
        ([{"template": "x"}], "an entry of its chat_template is no mapping with a name"),
        ([{"name": ["default"], "template": "x"}], "an entry of its chat_template is no mapping with a name"),
        ([{"name": "default", "template": 7}], "its chat_template is no text"),
        ({"default": "x"}, "its chat_template is no text"),
        ([{"name": "tool_use", "template": "x"}], "has no chat template"),
    ],
)
def test_a_chat_template_of_another_shape_is_a_sentence(
    asked: Replies, own: Path, told: object, says: str
) -> None:
    (own / "chat_template.jinja").unlink()
    change_json(own / "tokenizer_config.json", chat_template=told)
    assert says in refused(asked, own)


def test_a_hub_that_cannot_be_reached_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    replies = Replies(AskSettings(), tmp_path / "generate.log")
    try:
        assert "nobody/nothing is no folder here and could not be fetched" in refused(
            replies, "nobody/nothing"
        )
    finally:
        replies.close()


class Hub:
    """A model hub with one model, `owner/small`: what a folder holds, and a few files that nobody should fetch."""

    def __init__(self, folder: Path) -> None:
        self.files = {file.name: file.read_bytes() for file in folder.iterdir()}
        for name in (
            "pytorch_model.bin",
            "modeling.py",
            "original/model.safetensors",
            "consolidated.safetensors",
        ):
            self.files[name] = b"not to be fetched"
        self.fetched: set[str] = set()
        self.tokens: set[str | None] = set()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.send(body=False)

            def do_GET(self) -> None:
                self.send(body=True)

            def log_message(self, *_: object) -> None:
                pass

            def send(self, *, body: bool) -> None:
                hub.tokens.add(self.headers.get("Authorization"))
                raw: bytes | None
                if "/tree/" in self.path:
                    tree = [
                        {"type": "file", "path": name, "size": len(data), "oid": "b" * 40}
                        for name, data in hub.files.items()
                    ]
                    raw = json.dumps(tree).encode()
                elif self.path.startswith("/api/models/owner/small"):
                    siblings = [{"rfilename": name} for name in hub.files]
                    raw = json.dumps({"id": "owner/small", "sha": "a" * 40, "siblings": siblings}).encode()
                else:
                    name = self.path.rpartition(f"/owner/small/resolve/{'a' * 40}/")[2]
                    raw = hub.files.get(name)
                    hub.fetched |= {name} if raw and body else set()
                self.send_response(200 if raw else 404)
                self.send_header("X-Repo-Commit", "a" * 40)
                self.send_header("ETag", '"' + hashlib.sha256(raw or b"").hexdigest() + '"')
                self.send_header("Content-Length", str(len(raw or b"")))
                self.end_headers()
                if body:
                    self.wfile.write(raw or b"")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_only_what_is_safe_is_fetched_from_the_hub_and_without_a_token(
    asked: Replies, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(small)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", "hf_nobody_may_see")
    replies = Replies(AskSettings(), tmp_path / "generate.log")
    try:
        model = found(replies, "owner/small")
        assert model.digest == found(asked, small).digest
        (reply,) = ask(replies, model, chat_request("Hello?", max_tokens=4))
        assert reply.text and not reply.fault
    finally:
        replies.close()
        hub.server.shutdown()
        hub.server.server_close()
    assert hub.fetched == {file.name for file in small.iterdir()}
    assert hub.tokens == {None}


def test_without_its_packages_it_says_what_to_install(small: Path, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(anyio.__file__).parent.parent.iterdir():
        if not entry.name.startswith(("torch", "transformers", "peft")):
            (packages / entry.name).symlink_to(entry)
    script = (
        f"import sys; sys.path[:0] = [{str(packages)!r}, {str(Path(evals.__file__).parent.parent)!r}]\n"
        "from evals.backends.base import parse_spec\n"
        "from evals.backends.hugging_face_folder import resolve\n"
        f"print(resolve(parse_spec('hf:{small}+adapter')))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True)
    assert "hf: needs torch, transformers, peft, which this environment lacks" in done.stdout
    assert "pip install 'goldengate[hf]'" in done.stdout


# Hostile folders


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.file),)


def test_pickled_weights_are_refused_and_never_opened(asked: Replies, own: Path, tmp_path: Path) -> None:
    (own / "model.safetensors").unlink()
    (own / "pytorch_model.bin").write_bytes(pickle.dumps(Planted(tmp_path / "ran")))
    said = refused(asked, own)
    assert "only pickled weights (pytorch_model.bin), which run code" in said
    assert "save_pretrained" in said
    assert not (tmp_path / "ran").exists()


def test_a_pickled_adapter_is_refused_and_never_opened(
    asked: Replies, small: Path, adapter: Path, tmp_path: Path
) -> None:
    bad = Path(shutil.copytree(adapter, tmp_path / "bad"))
    (bad / "adapter_model.safetensors").unlink()
    (bad / "adapter_model.bin").write_bytes(pickle.dumps(Planted(tmp_path / "ran")))
    assert "only pickled weights (adapter_model.bin)" in refused(asked, f"{small}+{bad}")
    assert not (tmp_path / "ran").exists()


def plant_code(folder: Path, ran: Path) -> None:
    """Code in the folder that writes the file `ran`, named wherever a config can name it."""
    code = f"from pathlib import Path\nPath({str(ran)!r}).write_text('ran')\n"
    (folder / "planted.py").write_text(code)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(code)
    classes = {
        "AutoConfig": "planted.C",
        "AutoModelForCausalLM": "planted.M",
        "AutoTokenizer": ["planted.T", None],
    }
    change_json(folder / "config.json", auto_map=classes)
    change_json(folder / "tokenizer_config.json", auto_map=classes)


def test_code_of_a_folder_never_runs_where_transformers_knows_the_model(
    asked: Replies, own: Path, tmp_path: Path
) -> None:
    plant_code(own, tmp_path / "ran")
    (reply,) = ask(asked, found(asked, own), chat_request("Hello?", max_tokens=4))
    assert reply.text or reply.fault
    assert not (tmp_path / "ran").exists()


def test_a_model_that_needs_code_of_its_own_is_refused(asked: Replies, own: Path, tmp_path: Path) -> None:
    plant_code(own, tmp_path / "ran")
    change_json(own / "config.json", model_type="unheard-of")
    said = refused(asked, own)
    assert "brings code of its own to run" in said and "'unheard-of'" in said
    assert not (tmp_path / "ran").exists()
