"""Models in Ollama: nothing is believed that was not read back, and every fault is a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evals.backends.weights import embedded_default, sha256_of
from evals.errors import RegistryError, SettingsError
from tests.fault_server import Play, closed_port, error, line, listed_digest, model_entry, whole
from tests.real_ollama import PARAMETERS, TEMPLATE, OllamaServer
from tests.training.registry_server import RegistryServer
from training.package import Package
from training.registry import Registry, full_name


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        server.add("base:1")
        yield server


@pytest.fixture
def registry(server: RegistryServer) -> Registry:
    return Registry(server.url)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    weights = tmp_path / "weights.gguf"
    weights.write_bytes(b"GGUF" + bytes(100))
    return Package(
        kind="merged",
        base="",
        files={"model.gguf": weights},
        adapters={},
        template="{{ .Prompt }}",
        system="Be short.",
        parameters={"stop": ["<end>"], "temperature": 0},
        quantize="",
    )


@pytest.mark.parametrize(
    ("name", "whole_name"),
    [
        ("x", "x:latest"),
        ("x:1", "x:1"),
        ("hub.example:5000/me/x", "hub.example:5000/me/x:latest"),
        ("hub.example:5000/me/x:q8", "hub.example:5000/me/x:q8"),
    ],
)
def test_a_name_without_a_tag_is_its_latest(name: str, whole_name: str) -> None:
    assert full_name(name) == whole_name


def test_a_model_is_found_with_all_that_is_listed_of_it(server: RegistryServer, registry: Registry) -> None:
    server.add("plain:latest")
    found = registry.find("plain")
    assert found is not None
    assert (found.name, found.digest) == ("plain:latest", listed_digest("plain:latest"))
    assert (found.size_bytes, found.family, found.quantization) == (270898672, "llama", "F16")
    assert registry.find("other") is None


def test_a_model_that_has_to_be_there_and_is_not_is_an_error(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"has no model other:latest; `ollama list`"):
        registry.get("other")


def test_a_created_model_holds_what_was_sent(
    server: RegistryServer, registry: Registry, package: Package
) -> None:
    told: list[tuple[str, int, int]] = []
    made = registry.create("ops:candidate", package, lambda *step: told.append(step))
    digest = f"sha256:{sha256_of(package.files['model.gguf'])}"
    assert server.kept["ops:candidate"] == {
        "model": "ops:candidate",
        "stream": True,
        "files": {"model.gguf": digest},
        "template": "{{ .Prompt }}",
        "system": "Be short.",
        "parameters": {"stop": ["<end>"], "temperature": 0},
    }
    assert server.blobs[digest] == package.files["model.gguf"].read_bytes()
    assert registry.find("ops:candidate") == made
    assert [status for status, _, _ in told] == [
        "hashing model.gguf",
        "uploading model.gguf",
        "uploaded model.gguf",
        "parsing GGUF",
        "writing manifest",
        "success",
    ]


def test_an_adapter_is_sent_with_the_base_it_stands_on(
    server: RegistryServer, registry: Registry, package: Package
) -> None:
    adapter = replace(package, kind="adapter", base="base:1", files={}, adapters=package.files, system="")
    registry.create("ops:candidate", adapter)
    sent = server.kept["ops:candidate"]
    assert sent["from"] == "base:1" and list(sent["adapters"]) == ["model.gguf"] and "files" not in sent
    assert sent["system"] == ""


def test_a_blob_that_is_there_is_not_sent_again(
    server: RegistryServer, registry: Registry, package: Package
) -> None:
    registry.create("ops:candidate", package)
    registry.create("ops:candidate", package)
    sent = [one for one in server.asked if one.path.startswith("/api/blobs/") and one.raw]
    assert len(sent) == 1


def test_a_file_that_is_gone_is_told_by_its_path(registry: Registry, package: Package) -> None:
    package.files["model.gguf"].unlink()
    with pytest.raises(RegistryError, match=r"weights\.gguf cannot be read: No such file"):
        registry.create("ops:candidate", package)


def _loses_blobs(server: RegistryServer) -> None:
    server.loses_blobs = True


def _keeps_no_template(server: RegistryServer) -> None:
    server.keeps_no_template = True


def _instead(path: str, play: Play) -> Callable[[RegistryServer], None]:
    return lambda server: server.instead.update({path: play})


def _show(**fields: object) -> Play:
    kept = {"template": "{{ .Prompt }}", "system": "Be short.", "parameters": 'stop "<end>"\ntemperature 0'}
    return whole({"model_info": {}, **kept, "modelfile": "", **fields})


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(_loses_blobs, "does not have sha256:.* after .* was sent", id="blob-lost"),
        pytest.param(_keeps_no_template, "keeps another template", id="template-lost"),
        pytest.param(
            _instead("/api/show", _show(parameters="temperature 0")),
            "left the parameters stop of ops:candidate out",
            id="stop-lost",
        ),
        pytest.param(
            _instead("/api/show", _show(parameters='stop "<end>"\nstop "more"\ntemperature 0')),
            r"keeps \['<end>', 'more'\] for the parameter stop of ops:candidate, and \['<end>'\] was sent",
            id="other-stop",
        ),
        pytest.param(
            _instead("/api/show", _show(parameters='stop "<end>"\ntemperature 0.8')),
            r"keeps 0\.8 for the parameter temperature of ops:candidate, and 0 was sent",
            id="other-number",
        ),
        pytest.param(
            _instead("/api/show", _show(system="Be long.")),
            "keeps another system message of ops:candidate than was sent: 'Be long.' instead of 'Be short.'",
            id="other-system",
        ),
        pytest.param(
            _instead("/api/show", _show(system=None)),
            "keeps another system message of ops:candidate than was sent: '' instead of",
            id="system-lost",
        ),
        pytest.param(
            _instead("/api/show", _show(modelfile=f"FROM /blobs/sha256-{'0' * 64}")),
            r"made ops:candidate of other files than model\.gguf",
            id="other-weights",
        ),
        pytest.param(
            _instead(
                "/api/create", Play((line({"status": "parsing"}), line({"error": "no space left\x1b[2J"})))
            ),
            r"did not create ops:candidate: the server broke off: no space left\\x1b",
            id="error-in-the-stream",
        ),
        pytest.param(
            _instead("/api/create", Play((line({"status": "parsing"}),))),
            "broke off while it created ops:candidate, after 'parsing'",
            id="stream-ends-early",
        ),
        pytest.param(
            _instead("/api/create", error(400, "unsupported architecture")),
            r"refused the request \(400\): unsupported architecture",
            id="refused",
        ),
        pytest.param(
            _instead("/api/create", Play((line({"status": "parsing"}),), end="reset")),
            "the connection broke: .*; is it running",
            id="connection-reset",
        ),
    ],
)
def test_a_creation_that_went_wrong_is_told(
    server: RegistryServer,
    registry: Registry,
    package: Package,
    fault: Callable[[RegistryServer], None],
    said: str,
) -> None:
    fault(server)
    with pytest.raises(RegistryError, match=said):
        registry.create("ops:candidate", package)


def test_numbers_that_a_server_keeps_as_32_bit_floats_are_what_was_sent(
    server: RegistryServer, registry: Registry, package: Package
) -> None:
    kept = 'stop "<end>"\ntemperature 0\ntop_p 0.8999999761581421\nuse_mmap true'
    server.instead["/api/show"] = _show(parameters=kept)
    sent = replace(package, files={}, parameters={**package.parameters, "top_p": 0.9, "use_mmap": True})
    assert registry.create("ops:candidate", sent) == registry.find("ops:candidate")


def test_a_copy_has_the_digest_of_its_source(server: RegistryServer, registry: Registry) -> None:
    copied = registry.copy("base:1", "ops:prod")
    assert copied.digest == listed_digest("base:1")
    assert server.digest("ops:prod") == copied.digest


def test_a_copy_of_another_digest_is_an_error(server: RegistryServer, registry: Registry) -> None:
    server.copies_another = True
    with pytest.raises(RegistryError, match="somebody else changes these names"):
        registry.copy("base:1", "ops:prod")


def test_what_was_deleted_is_gone_and_cannot_be_deleted_again(
    server: RegistryServer, registry: Registry
) -> None:
    registry.delete("base:1")
    assert registry.find("base:1") is None
    with pytest.raises(RegistryError, match="did not delete base:1: the server no longer has base:1"):
        registry.delete("base:1")


def test_a_model_that_stays_after_its_deletion_is_told(server: RegistryServer, registry: Registry) -> None:
    server.instead["/api/delete"] = Play(())
    with pytest.raises(RegistryError, match="still has base:1 after it was deleted"):
        registry.delete("base:1")


def test_all_that_is_in_memory_is_unloaded(server: RegistryServer, registry: Registry) -> None:
    server.add("more:2")
    server.loaded = {"base:1", "more:2"}
    assert registry.unload_all() == ("base:1", "more:2")
    assert server.loaded == set()
    assert registry.unload_all() == ()


def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    port = closed_port()
    with pytest.raises(
        RegistryError, match=rf"Ollama at http://127\.0\.0\.1:{port} did not list .*ollama serve"
    ):
        Registry(f"127.0.0.1:{port}").find("x")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="is no address"):
        Registry("http://")


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(whole({"choices": []}), id="another-shape"),
        pytest.param(whole(b"<html>"), id="no-json"),
        pytest.param(error(500, "boom"), id="status-500"),
        pytest.param(whole({"models": [{**model_entry("base:1", ""), "digest": "x"}]}), id="no-digest"),
    ],
)
def test_a_list_that_is_none_is_an_error(server: RegistryServer, registry: Registry, play: Play) -> None:
    server.instead["/api/tags"] = play
    with pytest.raises(RegistryError, match="Ollama"):
        registry.find("base:1")


@pytest.mark.ollama
def test_a_real_ollama_keeps_what_it_is_sent(ollama_server: OllamaServer) -> None:
    registry = Registry(ollama_server.url)
    package = Package(
        kind="merged",
        base="",
        files={"model.gguf": embedded_default()},
        adapters={},
        template=TEMPLATE,
        system='Say "no".\nAlways.',
        parameters={**PARAMETERS, "temperature": 0, "num_ctx": 512},
        quantize="",
    )
    name = "gg-registry-test:candidate"
    try:
        made = registry.create(name, package)
        assert registry.copy(name, "gg-registry-test:prod").digest == made.digest
        shown = registry.show(name)
        assert shown.template == TEMPLATE
        assert "num_ctx" in (shown.parameters or "")
        # The same again is the same model; another system message makes another one.
        assert registry.create(name, package).digest == made.digest
        assert registry.create(name, replace(package, system="Other.")).digest != made.digest
        assert registry.get("gg-registry-test:prod").digest == made.digest
    finally:
        for tag in ("candidate", "prod"):
            if registry.find(f"gg-registry-test:{tag}"):
                registry.delete(f"gg-registry-test:{tag}")


@pytest.mark.ollama
def test_a_real_ollama_refuses_what_is_no_model(ollama_server: OllamaServer, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(json.dumps({}).encode())
    package = Package("merged", "", {"bad.gguf": bad}, {}, TEMPLATE, "", PARAMETERS, "")
    with pytest.raises(RegistryError, match="did not create gg-registry-test:bad"):
        Registry(ollama_server.url).create("gg-registry-test:bad", package)
