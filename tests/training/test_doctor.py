"""The doctor on real models in a real Ollama: one that is well, and one for each fault, found with its mend."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import ollama
import pytest
from ollama import Client
from rich.console import Console

from evals.backends.weights import embedded_default
from evals.errors import RegistryError
from tests.real_ollama import TEMPLATE, OllamaServer
from tests.small_hf_model import change_json, save_tokenizer
from tests.training.smollm2_adapter import smollm2
from training.doctor import Finding, context, examine, reply_of, stop
from training.doctor_asking import Reply, fits_schema
from training.doctor_rendering import Source, same_turns
from training.doctor_report import print_findings
from training.official import find_official
from training.registry import Registry

NAME = "golden-gate-test-doctor"
STOP = ["<|im_start|>", "<|im_end|>"]
# As Qwen3's does: thinking that is switched off is written as thinking that is empty.
THINKING_JINJA = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


@pytest.fixture(scope="module")
def folder() -> Path:
    return smollm2().folder


@pytest.fixture(scope="module")
def thinking_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's tokenizer with a template that can think."""
    made = tmp_path_factory.mktemp("doctor")
    for file in folder.glob("tokenizer*"):
        shutil.copyfile(file, made / file.name)
    (made / "chat_template.jinja").write_text(THINKING_JINJA)
    return made


@pytest.fixture
def client(ollama_server: OllamaServer) -> Iterator[Client]:
    with Client(host=ollama_server.url, timeout=300, trust_env=False) as client:
        yield client
        for one in client.list().models:
            if (one.model or "").startswith(f"{NAME}:"):
                client.delete(one.model or "")


def made(client: Client, server: OllamaServer, tag: str, template: str, **parameters: Any) -> str:
    """SmolLM2's weights under another template and other parameters."""
    name = f"{NAME}:{tag}"
    client.create(
        name,
        from_=server.ensure_model(),
        template=template,
        parameters={"stop": STOP, "num_thread": 1, **parameters},
    )
    return name


def examined(server: OllamaServer, name: str, folder: Path | None) -> dict[str, list[Finding]]:
    """The findings by their names."""
    found: dict[str, list[Finding]] = {}
    for one in examine(name, registry=Registry(server.url), base_folder=folder):
        found.setdefault(one.name, []).append(one)
        assert bool(one.mend) == (one.state != "ok"), one
    return found


def states(found: dict[str, list[Finding]]) -> dict[str, str]:
    """The worst of each name's findings."""
    order = ["ok", "warning", "fault"]
    return {name: max((one.state for one in all_), key=order.index) for name, all_ in found.items()}


@pytest.mark.ollama
def test_a_model_that_is_made_well_has_no_fault(
    ollama_server: OllamaServer, client: Client, folder: Path
) -> None:
    found = states(examined(ollama_server, made(client, ollama_server, "good", TEMPLATE), folder))
    assert found.pop("reply") in ("ok", "warning")
    assert found == dict.fromkeys(
        ("template", "system and user", "user alone", "several turns", "stop", "context"), "ok"
    )


@pytest.mark.ollama
def test_a_missing_template_is_found(ollama_server: OllamaServer, client: Client, folder: Path) -> None:
    found = examined(ollama_server, made(client, ollama_server, "none", "{{ .Prompt }}"), folder)
    (fault,) = found["template"]
    assert fault.state == "fault" and "answers garbage" in fault.what
    assert "training create" in fault.mend
    assert "several turns" not in found


@pytest.mark.ollama
@pytest.mark.slow
def test_a_template_of_other_models_is_found_and_a_context_beyond_the_models(
    ollama_server: OllamaServer, client: Client, folder: Path
) -> None:
    other = find_official("<|start_header_id|>")
    assert other is not None
    name = made(client, ollama_server, "wrong", other.template, num_ctx=8193)
    found = examined(ollama_server, name, folder)
    assert {
        name: state
        for name, state in states(found).items()
        if name in ("system and user", "user alone", "several turns", "context")
    } == dict.fromkeys(("system and user", "user alone", "several turns", "context"), "fault")
    assert "Ollama renders '<|start_header_id|>system" in found["system and user"][0].what
    assert "by the base" not in found["system and user"][0].what
    assert "num_ctx is 8,193, and the model has positions for 8,192" in found["context"][-1].what


@pytest.mark.ollama
@pytest.mark.slow
def test_a_missing_default_system_message_is_a_warning(
    ollama_server: OllamaServer, client: Client, folder: Path
) -> None:
    plain = find_official("<|im_start|>")
    assert plain is not None
    found = examined(ollama_server, made(client, ollama_server, "plain", plain.template), folder)
    assert states(found)["system and user"] == "ok"
    (warning,) = found["user alone"]
    assert warning.state == "warning" and "named SmolLM" not in warning.what
    assert "You are a helpful" in warning.what and "always send a system message" in warning.mend


@pytest.mark.ollama
@pytest.mark.slow
def test_thinking_that_can_be_switched_off_is_well(
    ollama_server: OllamaServer, client: Client, thinking_folder: Path
) -> None:
    qwen3 = find_official(THINKING_JINJA)
    assert qwen3 is not None and qwen3.name == "Qwen3"
    found = examined(ollama_server, made(client, ollama_server, "think", qwen3.template), thinking_folder)
    assert [one.state for one in found["thinking off"]] == ["ok", "ok"]
    assert states(found)["system and user"] == states(found)["several turns"] == "ok"


@pytest.mark.ollama
@pytest.mark.slow
def test_thinking_that_no_switch_reaches_is_found(
    ollama_server: OllamaServer, client: Client, thinking_folder: Path
) -> None:
    plain, qwen3 = find_official("<|im_start|>"), find_official(THINKING_JINJA)
    assert plain is not None and qwen3 is not None
    unswitched = made(client, ollama_server, "plain", plain.template)
    (fault,) = examined(ollama_server, unswitched, thinking_folder)["thinking off"]
    assert fault.state == "fault" and "IsThinkSet" in fault.what
    # A template that writes thinking, so that Ollama takes the switch, and looks at it nowhere.
    deaf = qwen3.template.replace("and $.IsThinkSet (not $.Think)", "false")
    assert deaf != qwen3.template
    name = made(client, ollama_server, "deaf", deaf)
    (fault,) = examined(ollama_server, name, None)["thinking off"]
    assert fault.state == "fault" and "renders the same with `think: false` as with" in fault.what


@pytest.mark.ollama
@pytest.mark.slow
def test_a_turn_end_that_nothing_stops_at_is_found(
    ollama_server: OllamaServer, client: Client, folder: Path, tmp_path: Path
) -> None:
    import gguf

    weights = shutil.copyfile(embedded_default(), tmp_path / "other-end.gguf")
    reader = gguf.GGUFReader(weights, "r+")
    field = reader.fields["tokenizer.ggml.eos_token_id"]
    field.parts[field.data[0]][0] = 0
    del reader, field
    name = f"{NAME}:endless"
    files = {"other-end.gguf": client.create_blob(weights)}
    client.create(name, files=files, template=TEMPLATE, parameters={"num_thread": 1, "stop": ["###"]})
    (fault,) = examined(ollama_server, name, folder)["stop"]
    assert fault.state == "fault" and "'<|im_end|>', which ends the base's turns" in fault.what
    assert fault.mend.startswith("set it: PARAMETER stop '<|im_end|>'")


def shown(**fields: Any) -> ollama.ShowResponse:
    return ollama.ShowResponse.model_validate({"model_info": {}, **fields})


def test_without_stop_texts_the_weights_own_end_is_only_a_warning(folder: Path) -> None:
    source = Source(folder)
    facts = {"tokenizer.ggml.eos_token_id": 2}
    assert stop(shown(model_info=facts), {"stop": STOP}, source).state == "ok"
    assert stop(shown(model_info=facts), {"stop": ["END"]}, source).state == "warning"
    assert stop(shown(), {}, source).state == "fault"
    assert stop(shown(), {}, None).state == "warning"
    assert stop(shown(), {"stop": STOP}, None).state == "ok"


def test_a_context_that_the_base_has_not_is_told(tmp_path: Path) -> None:
    facts = {"general.architecture": "llama", "llama.context_length": 2048}
    change_json(tmp_path / "config.json", max_position_embeddings=8192)
    found = list(context(shown(model_info=facts), {}, tmp_path))
    assert [one.state for one in found] == ["warning", "ok"]
    assert "for 2,048 tokens in Ollama, the base for 8,192" in found[0].what
    assert [one.state for one in context(shown(model_info=facts), {"num_ctx": 2048}, None)] == ["ok"]
    assert [one.state for one in context(shown(), {}, None)] == ["warning"]


def test_a_reply_is_there_and_ends_and_holds_no_control_tokens(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    source = Source(tmp_path)
    replies = {
        "ok": Reply("Blue", "", True, 9),
        "warning": Reply("Blue, red", "", False, 9),
    }
    for state, reply in replies.items():
        (one,) = reply_of(reply, source)
        assert one.state == state
    (empty,) = reply_of(Reply(" \n", "", True, 9), source)
    assert empty.state == "fault" and "the answer is empty" in empty.what
    (thought,) = reply_of(Reply("", "Hm", True, 9), source)
    assert thought.state == "fault" and "all of the answer is thinking" in thought.what
    (leaked,) = reply_of(Reply("Blue<|im_end|>\n<|im_start|>user", "", False, 9), source)
    assert leaked.state == "fault" and "'<|im_start|>', '<|im_end|>'" in leaked.what


@pytest.mark.parametrize(
    ("rendered", "system", "same"),
    [
        ("[dated]\n<S>sys</S><U>Q</U><A>", "sys", True),
        ("<S>sys</S><U>Q</U><A>", "sys", True),
        ("<S>sys<end><U>Q</U><A>", "sys", False),
        ("<S>sys</S><U>Q</U>", "sys", False),
        ("<U>Q</U><A>", "sys", False),
        ("", "sys", False),
    ],
)
def test_only_what_stands_before_the_messages_may_differ(rendered: str, system: str, same: bool) -> None:
    assert same_turns(rendered, "<S>sys</S><U>Q</U><A>", system, "Q") is same


def test_a_users_turn_that_is_opened_otherwise_is_another() -> None:
    assert same_turns("<S>own</S>\n<U>Q</U>", "<U>Q</U>", "", "Q")
    assert not same_turns("<V>Q</U>", "<U>Q</U>", "", "Q")


@pytest.mark.parametrize(
    ("text", "fits"),
    [('{"colour": "red"}', True), ('{"colour": 3}', False), ("[]", False), ('{"colour', False)],
)
def test_a_form_is_read_strictly(text: str, fits: bool) -> None:
    assert fits_schema(text) is fits


@pytest.mark.parametrize("width", [40, 80])
def test_findings_are_printed_with_their_mends_in_words_and_within_the_terminal(width: int) -> None:
    out = StringIO()
    console = Console(file=out, width=width)
    findings = (
        Finding("template", "ok", "it has a template that writes messages"),
        Finding("stop", "warning", "no stop text is '<|im_end|>'", "set it"),
        Finding("reply", "fault", "the answer is \x1b[31mempty and [bold]odd", "create it again"),
    )
    print_findings(console, "sea:candidate", findings)
    said = " ".join(out.getvalue().split())
    assert "fault reply: the answer is ⟨U+001B⟩[31mempty and [bold]odd mend: create it again" in said
    assert said.endswith("sea:candidate: 1 fault, 1 warning, 1 well")
    assert all(len(line) <= width for line in out.getvalue().splitlines())


def test_an_ollama_that_is_gone_is_told(folder: Path) -> None:
    with pytest.raises(RegistryError, match="is it running"):
        examine("x:1b", registry=Registry("http://127.0.0.1:9"), base_folder=folder)
