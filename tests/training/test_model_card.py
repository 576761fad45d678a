"""The model card tells what an adapter is, and nothing that a name holds is taken for Markdown, HTML or YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from evals.errors import TrainingError
from evals.verdict import Decision
from tests.training.manifests import manifest
from tests.verdicts import verdict
from training.config import LoraConfig, TrainConfig
from training.ledger import LedgerEntry
from training.manifest import BaseFacts, DataFacts
from training.model_card import model_card, write_model_card

GATE = LedgerEntry(
    action="gate", name="ops", outcome="done", run="20260101-120000-ops", tasks={"ops": "e" * 64}
)


def test_a_card_tells_base_data_settings_and_use() -> None:
    text = model_card(manifest())
    for said in (
        "| base | org/base |",
        f"| data SHA-256 | {'d' * 64} |",
        "| examples | 1,500 trained on, 150 held out, 2 skipped |",
        "| overlaps with golden cases | none |",
        "| LoRA | rank 16, alpha 32, dropout 0.05, all-linear |",
        "| trainable | 1,000 of 135,000 parameters |",
        "| loss | 0.5123 at the end, 0.6000 of the held-out examples |",
        "| seed | 7 |",
        "Not judged yet",
        "python -m training create ADAPTER_FOLDER --name ops",
    ):
        assert said in text, said


@pytest.mark.parametrize("decision", ["promote", "block"])
def test_a_judged_adapter_tells_its_scores_with_intervals_and_the_verdict(decision: Decision) -> None:
    found = verdict(decision)
    text = model_card(manifest(), gate=GATE, verdict=found)
    assert f"**{found.sentence}**" in text
    assert "| ops | content | 50 | 61.0% | 59.0% | -2.0 (-10.0 to +6.0) | eeeeeeeeeeee |" in text
    assert "20260101-120000-ops" in text
    assert (f"- {found.reasons[0]}".replace(">", "&gt;") in text) == (decision == "block")


def test_the_hub_reads_each_score_with_the_hash_of_its_task() -> None:
    data: Any = ModelCard(model_card(manifest(), gate=GATE, verdict=verdict())).data
    assert (data.base_model, data.library_name, data.model_name) == ("org/base", "peft", "ops")
    (result,) = data.eval_results or []
    assert (result.dataset_name, result.dataset_revision) == ("ops", "e" * 64)
    assert (result.metric_type, result.metric_value) == ("pass_rate", 0.59)
    assert result.metric_args == {
        "capability": "content",
        "cases": 50,
        "baseline": 0.61,
        "run": "20260101-120000-ops",
    }


def test_a_card_without_a_gate_claims_no_score() -> None:
    data: Any = ModelCard(model_card(manifest())).data
    assert data.eval_results is None


def test_overlaps_and_module_names_are_told() -> None:
    config = TrainConfig(name="ops", data="x", lora=LoraConfig(targets=["q_proj", "v_proj"]))
    data = DataFacts(
        path="x", sha256="d", examples=1, held_out=0, skipped=0, overlaps=3, allowed="they are public"
    )
    text = model_card(manifest(config=config, data=data, held_out_loss=None))
    assert "| overlaps with golden cases | 3, allowed: they are public |" in text
    assert "all-linear" not in text and r"q\_proj, v\_proj" in text
    assert "0.5123 at the end, - of the held-out examples" in text


HOSTILE = [
    "<script>alert(1)</script>",
    "a | b | c",
    "[x](javascript:alert(1))",
    "![x](http://example.com/p.png)",
    "---\nlicense: mit\n---",
    "`rm -rf /`; $(reboot)",
    "# head\n- list",
    "a\x1b[2J\u202eb",
    "{{ 1 + 1 }}",
    ": yaml: [",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    base = BaseFacts(name=name, digest=name, revision=name, ollama=name)
    facts = DataFacts(path=name, sha256=name, examples=1, held_out=0, skipped=0, overlaps=1, allowed=name)
    text = model_card(manifest(name=name, task=name, base=base, data=facts), gate=GATE, verdict=verdict())
    card = ModelCard(text)
    data: Any = card.data
    assert data.library_name == "peft" and data.license is None
    assert "\x1b" not in text and "\u202e" not in text
    tokens = MarkdownIt("commonmark").enable("table").parse(card.text)
    inline = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in [*tokens, *inline]}
    assert not kinds & {"html_block", "html_inline", "image", "link_open", "bullet_list_open", "hr"}
    assert sum(token.type == "heading_open" for token in tokens) == 5
    # Two tables of two columns, one of seven.
    assert [token.type for token in tokens].count("th_open") == 2 + 2 + 7
    fence = next(token for token in tokens if token.type == "fence")
    assert "promote NAME" in fence.content


def test_a_card_is_written_into_the_adapters_folder(tmp_path: Path) -> None:
    path = write_model_card(tmp_path, manifest())
    assert path == tmp_path / "README.md"
    assert path.read_text(encoding="utf-8") == model_card(manifest())


def test_a_card_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"README\.md cannot be written: No such file"):
        write_model_card(tmp_path / "gone", manifest())
