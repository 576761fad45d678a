"""Chat templates in Ollama's language (Go's text/template) for bases that are not in Ollama themselves.

Each renders what the template of the same models on Hugging Face renders, and comes with the texts that end a reply.
Which one fits is read from the markers in the base's own template; where none does, nothing is guessed. Tools are
left out: nothing here is trained on them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CHATML_STOP = ("<|im_start|>", "<|im_end|>")
_DEFAULT_SYSTEM = re.compile(r"<\|im_start\|>system(?:\\n|\n)([^<>{}'\"]+)<\|im_end\|>")

_CHATML = """\
{{- range $i, $_ := .Messages }}DEFAULT<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
_CHATML_DEFAULT = """\
{{ if and (eq $i 0) (ne .Role "system") }}<|im_start|>system
WORDS<|im_end|>
{{ end }}"""
# `think: false` is answered by thinking that is empty, as the models were trained; Ollama finds out from `.Thinking`
# between its tags that the model thinks.
_QWEN3 = """\
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}<|im_start|>{{ .Role }}
{{ if and (eq .Role "assistant") $last .Thinking }}<think>
{{ .Thinking }}
</think>

{{ end }}{{ .Content }}{{ if or (ne .Role "assistant") (not $last) }}<|im_end|>
{{ end }}
{{- if and (ne .Role "assistant") $last }}<|im_start|>assistant
{{ if and $.IsThinkSet (not $.Think) }}<think>

</think>

{{ end }}{{ end }}
{{- end }}"""
_LLAMA3_TURNS = """\
{{- range .Messages }}SKIP<|start_header_id|>{{ .Role }}<|end_header_id|>

{{ .Content }}<|eot_id|>END{{ end }}<|start_header_id|>assistant<|end_header_id|>

"""
_LLAMA3 = _LLAMA3_TURNS.replace("SKIP", "").replace("END", "")
_LLAMA31 = """\
<|start_header_id|>system<|end_header_id|>

Cutting Knowledge Date: December 2023
Today Date: 26 Jul 2024

{{ .System }}<|eot_id|>""" + _LLAMA3_TURNS.replace("SKIP", '{{ if ne .Role "system" }}').replace(
    "END", "{{ end }}"
)
_GEMMA = """\
{{- range $i, $_ := .Messages }}
{{- if eq .Role "user" }}<start_of_turn>user
{{ if and $.System (le $i 1) }}{{ $.System }}

{{ end }}{{ .Content }}<end_of_turn>
{{ else if eq .Role "assistant" }}<start_of_turn>model
{{ .Content }}<end_of_turn>
{{ end }}
{{- end }}<start_of_turn>model
"""
_MISTRAL = """\
{{- range $i, $_ := .Messages }}
{{- if eq .Role "user" }}[INST] {{ if and $.System (eq (len (slice $.Messages $i)) 1) }}{{ $.System }}

{{ end }}{{ .Content }}[/INST]
{{- else if eq .Role "assistant" }} {{ .Content }}</s>
{{- end }}
{{- end }}"""
_PHI4 = "{{- range .Messages }}<|im_start|>{{ .Role }}<|im_sep|>{{ .Content }}<|im_end|>{{ end }}<|im_start|>assistant<|im_sep|>"
_PHI4_MINI = "{{- range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>{{ end }}<|assistant|>"
_PHI3 = """\
{{- range .Messages }}<|{{ .Role }}|>
{{ .Content }}<|end|>
{{ end }}<|assistant|>
"""


@dataclass(frozen=True, slots=True)
class Official:
    """A template under a name for people, and the texts that end a reply."""

    name: str
    template: str
    stop: tuple[str, ...]


def find_official(chat_template: str) -> Official | None:
    """What renders in Ollama as this template of Hugging Face (jinja text) does, None if none of the table."""
    has = chat_template.__contains__
    if has("<|im_sep|>"):
        return Official("Phi-4", _PHI4, (*_CHATML_STOP, "<|im_sep|>"))
    if has("<|im_start|>"):
        return _chatml(chat_template)
    if has("<|start_header_id|>"):
        dated = has("Cutting Knowledge Date")
        stop = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
        return Official("Llama 3.1", _LLAMA31, stop) if dated else Official("Llama 3", _LLAMA3, stop)
    if has("<start_of_turn>"):
        return Official("Gemma", _GEMMA, ("<end_of_turn>",))
    if has("[INST]") and not has("<<SYS>>"):
        return Official("Mistral", _MISTRAL, ("[INST]", "[/INST]"))
    if has("<|end|>") and not has("enable_thinking"):
        stop = ("<|end|>", "<|user|>", "<|assistant|>")
        lines = has("<|user|>\\n") or has("<|user|>\n")
        return Official("Phi-3", _PHI3, stop) if lines else Official("Phi-4-mini", _PHI4_MINI, stop)
    return None


def _chatml(chat_template: str) -> Official | None:
    if "enable_thinking" in chat_template:
        # Others that think (SmolLM3) write more into their system message than a template of Ollama can.
        return None if "/no_think" in chat_template else Official("Qwen3", _QWEN3, _CHATML_STOP)
    found = _DEFAULT_SYSTEM.search(chat_template)
    own = _CHATML_DEFAULT.replace("WORDS", found[1].replace("\\n", "\n")) if found else ""
    return Official("ChatML", _CHATML.replace("DEFAULT", own), _CHATML_STOP)
