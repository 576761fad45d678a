"""Folders for temporary files: where they are asked for, gone afterwards, and a sentence where none can be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.errors import TrainingError
from training.work_folder import work_folder


def test_it_lies_beside_the_adapter_and_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    with work_folder(tmp_path / "adapter", None) as folder:
        assert folder.parent == tmp_path
        (folder / "merged").mkdir()
        (folder / "merged" / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_that_is_the_current_folder_is_not_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adapter").mkdir()
    monkeypatch.chdir(tmp_path / "adapter")
    with work_folder(Path(), None) as folder:
        assert folder.parent == tmp_path


def test_a_folder_that_was_asked_for_is_made_and_stays(tmp_path: Path) -> None:
    with work_folder(tmp_path / "adapter", tmp_path / "more" / "room") as folder:
        assert folder.parent == tmp_path / "more" / "room"
    assert list((tmp_path / "more" / "room").iterdir()) == []


def test_it_goes_when_what_is_done_in_it_fails(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="broke"), work_folder(tmp_path / "adapter", None):
        raise TrainingError("it broke")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", [True, False])
def test_a_place_where_none_can_be_made_is_told_with_the_option_that_names_another(
    asked: bool, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file"
    with (
        pytest.raises(TrainingError, match=rf"can be made in {place}: .*; name another with --work$"),
        work_folder(tmp_path if asked else place / "adapter", place if asked else None),
    ):
        pass
