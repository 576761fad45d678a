"""Is a model in Ollama made as it should be? Each thing that is wrong comes with its mend.

What is examined: the template is there and renders what the base's chat template renders (`doctor_rendering`);
`think: false` is honoured, with a format and without; replies are ended; the context length; a reply that is not empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.backends.base import Message
from evals.backends.hugging_face_folder import context_length, read_json
from evals.errors import ModelUnavailable, TrainingError
from training.doctor_asking import Asker, Reply, fits_schema
from training.doctor_rendering import Finding, Source, quoted, renderings
from training.package import NO_TEMPLATES
from training.shown import read_parameters

if TYPE_CHECKING:
    import ollama

    from training.registry import Registry

__all__ = ["Finding", "examine"]

QUESTION = "Name a colour. Answer with one word."
REPLY_TOKENS = 16
_ASKED = (Message("user", QUESTION),)
_OFFICIAL = "create it again with `python -m training create`, which sends the template of the base"


def examine(model: str, *, registry: Registry, base_folder: Path | None) -> tuple[Finding, ...]:
    """What is well and what is not with a model in Ollama, in about ten short requests.

    `base_folder` is a folder of Hugging Face (the base's, or the adapter's) whose tokenizer and chat template Ollama's
    are held against; None examines only what the model itself shows. Raises `RegistryError` where Ollama does not
    answer, `TrainingError` for a folder without tokenizer or chat template.
    """
    source = Source(base_folder) if base_folder else None
    shown = registry.show(model)
    asker = Asker(registry.url, model)
    parameters = read_parameters(shown.parameters or "")
    template = _template(shown)
    findings = [template]
    thinks = "thinking" in (shown.capabilities or [])
    if source is not None and template.state != "fault":
        findings += renderings(asker, source, shown.system or "", False if thinks else None)
    reply = asker.chat(_ASKED, REPLY_TOKENS, False if thinks else None)
    findings += _thinking(asker, thinks, reply, source)
    findings.append(stop(shown, parameters, source))
    findings += context(shown, parameters, base_folder)
    findings += reply_of(reply, source)
    return tuple(findings)


def _template(shown: ollama.ShowResponse) -> Finding:
    # Newer servers render some families themselves.
    if any(line.startswith("RENDERER ") for line in (shown.modelfile or "").splitlines()):
        return Finding("template", "ok", "Ollama's own renderer writes the messages")
    template = (shown.template or "").strip()
    if template in NO_TEMPLATES:
        return Finding(
            "template",
            "fault",
            "it has no template: the model is given the bare text of the last message, and answers garbage",
            _OFFICIAL,
        )
    if ".Messages" not in template and ".Prompt" not in template:
        return Finding("template", "fault", "its template writes no messages", _OFFICIAL)
    return Finding("template", "ok", "it has a template that writes messages")


def _thinking(asker: Asker, thinks: bool, plain: Reply, source: Source | None) -> Iterator[Finding]:
    name = "thinking off"
    if not thinks:
        if source is not None and source.thinks:
            yield Finding(
                name,
                "fault",
                "the base thinks, and in Ollama nothing can tell it not to: its template knows no IsThinkSet, so `think: "
                "false` changes nothing and answers are spent on thinking",
                _OFFICIAL,
            )
        return
    formed = asker.chat(_ASKED, REPLY_TOKENS, False, schema=True)
    on = asker.chat(_ASKED, 1, True)
    if plain.prompt_tokens is not None and plain.prompt_tokens == on.prompt_tokens:
        yield Finding(
            name,
            "fault",
            "its template renders the same with `think: false` as with `think: true`: it knows no IsThinkSet",
            _OFFICIAL,
        )
        return
    for words, reply in (("without a format", plain), ("with a format", formed)):
        if fault := _thinks_still(reply, formed=reply is formed):
            yield Finding(name, "fault", f"`think: false` {words}: {fault}", _OFFICIAL)
        else:
            yield Finding(name, "ok", f"`think: false` is honoured {words}")
    if plain.prompt_tokens != formed.prompt_tokens:
        yield Finding(
            name,
            "fault",
            f"with a format Ollama renders another prompt ({formed.prompt_tokens} tokens instead of {plain.prompt_tokens})",
            "update Ollama",
        )


def _thinks_still(reply: Reply, *, formed: bool) -> str:
    if reply.thinking.strip():
        return f"it thinks all the same ({quoted(reply.thinking)})"
    if "<think>" in reply.text or "</think>" in reply.text:
        return "thinking stands in the answer"
    if not reply.text.strip():
        return "the answer is empty"
    if formed and reply.ended and not fits_schema(reply.text):
        return f"the answer has not the form that was asked for ({quoted(reply.text)})"
    return ""


def stop(shown: ollama.ShowResponse, parameters: Mapping[str, Any], source: Source | None) -> Finding:
    texts = parameters.get("stop", [])
    facts: Mapping[str, Any] = shown.modelinfo or {}
    if source is None:
        if texts:
            return Finding("stop", "ok", f"replies end at {_listed(texts)}")
        return Finding(
            "stop",
            "warning",
            "no stop texts are set; only the weights' own last token ends a reply",
            _OFFICIAL,
        )
    end = source.turn_end()
    own = [facts.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot")]
    ends = {source.token(one) for one in own if isinstance(one, int)}
    if end in texts:
        return Finding("stop", "ok", f"replies end at {_listed(texts)}")
    mend = f"set it: PARAMETER stop {quoted(end)}; `python -m training create` does"
    if end in ends:
        return Finding(
            "stop",
            "warning",
            f"no stop text is {quoted(end)}, which ends the base's turns; only the weights' own last token does",
            mend,
        )
    return Finding(
        "stop",
        "fault",
        f"neither a stop text nor the weights' last token is {quoted(end)}, which ends the base's turns: replies would go on",
        mend,
    )


def context(
    shown: ollama.ShowResponse, parameters: Mapping[str, Any], base_folder: Path | None
) -> Iterator[Finding]:
    facts: Mapping[str, Any] = shown.modelinfo or {}
    there = facts.get(f"{facts.get('general.architecture')}.context_length")
    asked = parameters.get("num_ctx")
    if not isinstance(there, int):
        yield Finding(
            "context", "warning", "Ollama does not tell for how many tokens it has positions", "update Ollama"
        )
        return
    here = _base_context(base_folder)
    if here and here != there:
        yield Finding(
            "context",
            "warning",
            f"it has positions for {there:,} tokens in Ollama, the base for {here:,}",
            "convert the weights again, with the base's whole config.json",
        )
    if isinstance(asked, int) and asked > there:
        yield Finding(
            "context",
            "fault",
            f"num_ctx is {asked:,}, and the model has positions for {there:,} tokens",
            f"set it: PARAMETER num_ctx {there}",
        )
        return
    size = f"num_ctx is {asked:,}" if isinstance(asked, int) else "requests or the server set num_ctx"
    yield Finding("context", "ok", f"{size}; it has positions for {there:,} tokens")


def _base_context(folder: Path | None) -> int | None:
    if folder is None or not (folder / "config.json").is_file():
        return None
    try:
        return context_length(read_json(folder / "config.json"))
    except (ModelUnavailable, OSError) as error:
        raise TrainingError(str(error)) from error


def reply_of(reply: Reply, source: Source | None) -> Iterator[Finding]:
    text = reply.text.strip()
    if not text:
        what = "all of the answer is thinking" if reply.thinking.strip() else "the answer is empty"
        yield Finding("reply", "fault", f"asked '{QUESTION}', {what}", _OFFICIAL)
        return
    leaked = [one for one in (source.specials() if source else ()) if one in reply.text]
    if leaked:
        yield Finding(
            "reply",
            "fault",
            f"control tokens stand in the answer ({_listed(leaked)})",
            "set them as stop texts: PARAMETER stop …; `python -m training create` does",
        )
    elif not reply.ended:
        yield Finding(
            "reply",
            "warning",
            f"asked for one word it was not done after {REPLY_TOKENS} tokens ({quoted(text)})",
            "look at the findings on template and stop texts; if they are well, the model itself goes on",
        )
    else:
        yield Finding("reply", "ok", f"it answers and comes to an end ({quoted(text)})")


def _listed(texts: list[str] | tuple[str, ...]) -> str:
    return ", ".join(quoted(one) for one in texts)
