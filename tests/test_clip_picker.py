"""A clip from samples, a path or an upload is shown with its facts and passed on; errors are reported."""

import re
import tempfile

import pytest
import torch

from linvid_edu.files import materials
from linvid_edu.video.clip import Clip
from linvid_edu.video.opening import VideoError
from linvid_edu.video.reading import VideoFacts, load_clip, video_facts
from linvid_edu.widgets import ClipPicker
from linvid_edu.widgets.clips import UPLOAD_BYTES, describe_clip, read_upload

SAMPLE = materials().data_samples / "motion_right_plain.mp4"
EVIL = "<img src=x onerror=alert(1)>.mp4"


@pytest.fixture
def picker():
    return ClipPicker(num_frames=4, size=32)


class Recorder:
    """An explorer that takes clips of four frames."""

    def __init__(self):
        self.clips = []

    def show(self, clip):
        if len(clip.frames) != 4:
            raise ValueError(f"clip has {len(clip.frames)} frames, the model expects 4: resample with num_frames=4")
        self.clips.append(clip)


def send(picker, name, data, piece=10_000):
    """Play the browser: choose a file and send it in pieces."""
    picker.source.value = "upload"
    picker.upload.receive({"kind": "start", "name": name, "size": len(data)})
    for at in range(0, len(data), piece):
        picker.upload.receive({"kind": "piece"}, [memoryview(data[at : at + piece])])
    picker.upload.receive({"kind": "end"})


def test_it_starts_with_the_first_sample_and_describes_its_sampling(picker):
    assert picker.clip.frames.shape == (4, 32, 32, 3)
    assert picker.trouble == ""
    assert "Video: 2 s, 24 frames, 12 a second" in picker._about.value
    assert "at the centers of 4 equal stretches" in picker._about.value
    assert 'alt="4 frames of 32 × 32 pixels' in picker._strip.value
    assert len(picker.sample.options) == 12


def test_an_explorer_gets_the_clip_now_and_on_every_change(picker):
    explorer = Recorder()
    picker.feeds(explorer)
    picker.sample.value = SAMPLE.name
    assert [clip.source for clip in explorer.clips] == [
        str(materials().data_samples / picker.sample.options[0][1]),
        str(SAMPLE),
    ]
    picker.num_frames.value = 5
    assert len(explorer.clips) == 2
    assert "the model expects 4" in picker.trouble
    picker.num_frames.value = 4
    assert len(explorer.clips) == 3
    assert picker.trouble == ""


def test_a_path_that_cannot_be_read_is_reported_and_the_clip_stays(picker, tmp_path):
    before = picker.clip
    picker.source.value = "path"
    assert picker.trouble == ""
    for name, words in (("missing.mp4", "no such file"), ("text.mp4", "not a readable video")):
        (tmp_path / "text.mp4").write_text("no video at all")
        picker.path.value = str(tmp_path / name)
        assert 'role="alert"' in picker.trouble
        assert words in picker.trouble
        assert picker.clip is before
    picker.path.value = str(SAMPLE)
    assert picker.trouble == ""
    assert torch.equal(picker.clip.frames, load_clip(SAMPLE, num_frames=4, size=32).frames)


def test_the_control_of_the_chosen_source_is_shown_alone(picker):
    for source in ("path", "upload", "sample"):
        picker.source.value = source
        controls = {name: getattr(picker, name) for name in ("sample", "path", "upload")}
        assert [name for name, control in controls.items() if control.layout.display != "none"] == [source]


def test_a_path_may_be_given_at_the_start():
    assert ClipPicker(path=SAMPLE, num_frames=2, size=16).clip.source == str(SAMPLE)


def test_without_samples_it_says_what_to_do(tmp_path):
    picker = ClipPicker(samples=tmp_path, num_frames=2, size=16)
    assert picker.clip is None
    assert "linvid samples" in picker.trouble
    assert "no clip yet" in picker.snapshot().alt
    picker.source.value = "path"
    picker.path.value = str(SAMPLE)
    assert picker.clip is not None


def test_an_upload_arrives_in_pieces_and_leaves_no_file(picker, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    send(picker, "mine.mp4", SAMPLE.read_bytes())
    assert picker.trouble == ""
    assert picker.clip.source == "mine.mp4"
    assert torch.equal(picker.clip.frames, load_clip(SAMPLE, num_frames=4, size=32).frames)
    assert list(tmp_path.iterdir()) == []
    picker.num_frames.value = 6
    assert len(picker.clip.frames) == 6


def test_a_broken_upload_is_reported_by_its_own_name_and_leaves_no_file(picker, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = picker.clip
    send(picker, "broken.mp4", SAMPLE.read_bytes()[:5000])
    assert picker.clip is before
    assert "broken.mp4: " in picker.trouble
    assert str(tmp_path) not in picker.trouble
    assert list(tmp_path.iterdir()) == []


def test_an_upload_above_the_limit_is_reported(picker):
    before = picker.clip
    picker.source.value = "upload"
    picker.upload.receive({"kind": "start", "name": "long.mp4", "size": UPLOAD_BYTES + 1})
    assert "long.mp4 has 50.0 MB, the limit of an upload is 50 MB" in picker.trouble
    assert picker.clip is before
    with pytest.raises(VideoError, match="the limit of an upload is 50 MB"):
        read_upload("long.mp4", bytes(UPLOAD_BYTES + 1), num_frames=1, size=8)


def test_an_upload_that_is_cut_off_is_not_decoded(picker):
    picker.source.value = "upload"
    picker.upload.receive({"kind": "start", "name": "half.mp4", "size": 100})
    picker.upload.receive({"kind": "piece"}, [memoryview(bytes(60))])
    picker.upload.receive({"kind": "end"})
    assert "half.mp4 arrived with 60 of 100 bytes" in picker.trouble


def test_names_are_shown_as_text(picker):
    send(picker, EVIL, SAMPLE.read_bytes())
    send(picker, EVIL, b"no video")
    assert "&lt;img src=x" in picker._about.value
    assert "&lt;img src=x" in picker.trouble
    everything = picker._about.value + picker._strip.value + picker.trouble
    assert not re.search(r"<img src=x", everything)


def test_repeated_frames_are_described():
    clip = Clip(
        torch.zeros(3, 4, 8, 8), torch.zeros(4, 8, 8, 3, dtype=torch.uint8), torch.zeros(4), "a.mp4", repeated=2
    )
    assert describe_clip(clip, VideoFacts(1.0, 2))[-1].endswith("2 of the 4 repeat the one before.")


def test_the_picture_stands_beside_the_widget(picker):
    data, metadata = picker._repr_mimebundle_()
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= data.keys()
    assert "24 frames" in metadata["image/png"]["alt"]


def test_the_facts_of_a_video(tmp_path):
    facts = video_facts(SAMPLE)
    assert (facts.seconds, facts.frames) == (pytest.approx(2), 24)
    with pytest.raises(VideoError, match="no such file"):
        video_facts(tmp_path / "missing.mp4")
    (tmp_path / "text.mp4").write_text("no video at all")
    with pytest.raises(VideoError, match="not a readable video"):
        video_facts(tmp_path / "text.mp4")
