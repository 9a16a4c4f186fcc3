"""The photographs are small, have a known provenance, and are in one split each."""

from pathlib import Path

import pytest
import torch

from linvid_edu.files import Materials
from linvid_edu.video import from_lab, load_photographs

Image = pytest.importorskip("PIL.Image")

FOLDER = Path(__file__).parents[1] / "data_samples" / "photographs"
PATHS = {split: sorted((FOLDER / split).glob("*")) for split in ("training", "held_out")}


@pytest.fixture(scope="module", params=PATHS)
def split(request):
    return request.param


def test_files_are_small_jpegs_and_no_more_than_two_megabytes():
    paths = [path for split in PATHS.values() for path in split]
    assert {path.suffix for path in paths} == {".jpg"}
    assert sum(path.stat().st_size for path in paths) <= 2e6
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "JPEG"
            assert 250 <= max(picture.size) <= 512


def test_every_photograph_is_in_one_split_and_its_provenance_is_stated():
    training, held_out = ({path.stem for path in paths} for paths in PATHS.values())
    assert len(training) >= 20
    assert len(held_out) >= 5
    assert not training & held_out
    provenance = (FOLDER.parent / "README.md").read_text(encoding="utf-8").split("## Photographs")[1]
    assert [name for name in training | held_out if f"`{name}`" not in provenance] == []


def test_squares_are_in_lab_and_show_what_the_file_shows(split):
    squares = load_photographs(split, side=48)
    assert squares.shape == (6 * len(PATHS[split]), 3, 48, 48)
    assert squares.dtype == torch.float32
    assert 0 <= squares[:, 0].min() < 5
    assert 95 < squares[:, 0].max() <= 100.01
    with Image.open(PATHS[split][0]) as picture:
        height = min(picture.size)
        mean = torch.tensor(picture.crop((0, 0, height, height)).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)))
    shown = from_lab(squares[0][:, None]).float().mean(dim=(0, 1, 2))
    torch.testing.assert_close(shown, mean.float(), atol=3, rtol=0)


def test_most_photographs_are_colorful(split):
    chroma = load_photographs(split, side=48)[:, 1:].norm(dim=1).mean(dim=(1, 2))
    assert chroma.median() > 15


def test_an_unknown_split_is_an_error():
    with pytest.raises(ValueError, match="no split 'test'"):
        load_photographs("test")


def test_a_folder_without_photographs_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("linvid_edu.video.photographs.materials", lambda: Materials(*[tmp_path] * 4))
    with pytest.raises(FileNotFoundError, match="has no photographs"):
        load_photographs("training")
