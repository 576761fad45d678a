"""Pickles are found by name and by content, and nothing else is taken for one."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.errors import TrainingError
from training.no_pickle import find_pickles, is_pickle, refuse_pickles

VALUE = {"weights": [1.5, 2.5], "name": "x"}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_pickle_is_found_whatever_its_protocol(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "state").write_bytes(pickle.dumps(VALUE, protocol))

    assert list(find_pickles(tmp_path)) == [tmp_path / "state"]


def test_what_torch_saves_is_found_under_any_name(tmp_path: Path) -> None:
    import torch

    torch.save(VALUE, tmp_path / "a.json")
    torch.save(VALUE, tmp_path / "b.safetensors", _use_new_zipfile_serialization=False)

    assert list(find_pickles(tmp_path)) == [tmp_path / "a.json", tmp_path / "b.safetensors"]


@pytest.mark.parametrize("name", ["a.bin", "a.pt", "a.pth", "a.pkl", "a.ckpt", "a.pickle", "a.joblib"])
def test_a_name_of_pickles_is_enough(tmp_path: Path, name: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / name).write_bytes(b"")

    assert list(find_pickles(tmp_path)) == [tmp_path / "deep" / name]


def test_an_archive_cut_short_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"PK\x03\x04 and no more")

    assert is_pickle(tmp_path / "a")


def test_an_archive_without_a_pickle_is_none(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")

    assert not is_pickle(tmp_path / "a.zip")


def test_weights_texts_and_figures_are_no_pickles(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3)}, tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "dot").write_text(".")
    (tmp_path / "LICENSE").write_text("Apache License, Version 2.0\n")
    (tmp_path / "merges").write_text("#version: 0.2\nt h\n")

    refuse_pickles(tmp_path)


def test_the_length_of_a_head_that_looks_like_a_pickle_s_beginning_is_none(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    file = tmp_path / "a.safetensors"
    beginnings = set()
    for width in range(1, 200):
        save_file({"a" * width: torch.zeros(1)}, file)
        beginnings.add(file.read_bytes()[0])
        assert not is_pickle(file)

    assert 0x80 in beginnings


@pytest.mark.parametrize("name", ["a.safetensors", "a"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_found_under_the_name_of_weights(tmp_path: Path, name: str, protocol: int) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(list(range(1000)), protocol))

    assert is_pickle(tmp_path / name)


def test_the_refusal_names_the_files(tmp_path: Path) -> None:
    (tmp_path / "optimizer.pt").write_bytes(pickle.dumps(VALUE))

    with pytest.raises(TrainingError, match=r"holds pickled files \(optimizer.pt\), which run code"):
        refuse_pickles(tmp_path)


@given(value=st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=9))
def test_any_json_is_no_pickle_and_any_pickle_is_one(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.json").write_text(json.dumps(value))
    (folder / "b.json").write_bytes(pickle.dumps(value))

    assert [path.name for path in find_pickles(folder)] == ["b.json"]
