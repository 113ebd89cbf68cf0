"""Videos as shards of frames."""

import sys
import weakref

import fsspec
import numpy as np
import pandas
import pytest
from assertions import refused
from photos import pictures, save_clip
from PIL import Image
from shard_makers import Logged, score

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.workbench.images.image import NoImage, read_image
from clipiqa_pyiqa.workbench.names.named_images import images_named
from clipiqa_pyiqa.workbench.sources import shard_images
from clipiqa_pyiqa.workbench.sources.finding import find_sources
from clipiqa_pyiqa.workbench.sources.shard_images import images_in, read_ahead

pytest.importorskip("av", reason="PyAV (the extra `video`) is not installed")


@pytest.fixture
def clip(tmp_path):
    """Thirty frames in three seconds."""
    return save_clip(tmp_path / "in/clip.mkv", pictures(30))


def seconds(path, **options):
    """The times of the sampled frames; of what is no frame, why."""
    found = images_in(find_sources(path, **options).sources)
    return [each.kind if isinstance(each, NoImage) else float(each.name.split("::")[1]) for each in found]


def test_a_video_of_unknown_length_is_told_how_to_be_sampled(tmp_path):
    import av

    (picture,) = pictures(1)
    path = tmp_path / "live.mkv"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *picture.size, "bgr0"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
        container.mux(stream.encode())
    (image,) = images_in(find_sources(path, sampling="2 frames").sources)
    assert "does not say how long it is: ask for frames some seconds apart" in image.reason
    assert seconds(path, sampling="1s") == [0]


def pixels(image):
    return read_image(image).pixels.permute(1, 2, 0).numpy()


def test_frames_are_sampled_by_time_or_by_number(clip):
    for sampling, expected in {
        "1s": [0, 1, 2],
        "0.25": [0, 0.3, 0.5, 0.8, 1, 1.3, 1.5, 1.8, 2, 2.3, 2.5, 2.8],
        "9s": [0],
        "0s": [n / 10 for n in range(30)],
        "4 frames": [0, 0.8, 1.5, 2.3],
        "99 frames": [n / 10 for n in range(30)],
    }.items():
        assert seconds(clip, sampling=sampling) == expected


def test_a_frame_that_is_shown_for_long_is_taken_once(tmp_path):
    clip = save_clip(tmp_path / "v.mkv", pictures(5), times=[0, 1, 2, 31, 40])
    assert seconds(clip) == [0, 3.1, 4]


def test_a_sampling_that_means_nothing_is_refused(clip):
    for sampling in ("fast", "0 frames", "-1s"):
        refused(find_sources, clip, sampling=sampling)


def test_frames_are_upright(tmp_path):
    for degrees in [0, 90, -90, 180]:
        (frame,) = images_in(
            find_sources(save_clip(tmp_path / "r.mp4", pictures(1), "libx264", "yuv420p", rotation=degrees)).sources
        )
        upright = np.asarray(pictures(1)[0].rotate(degrees, expand=True)).astype(int)
        assert np.abs(pixels(frame) - upright).mean() < 8


def test_ten_bits_are_converted_and_hdr_is_refused(tmp_path):
    deep = save_clip(tmp_path / "deep.mkv", pictures(1), format="gbrp10le")
    (row,) = score_paths({"grey": Logged(tmp_path / "log")}, deep)
    assert row.converted == "gbrp10le->rgb" and row.scores
    for curve in (16, 18):
        hdr = save_clip(tmp_path / f"{curve}.mkv", pictures(2), format="gbrp10le", color_trc=curve)
        assert seconds(hdr) == [Kind.UNCLEAR_SCALE]


@pytest.mark.parametrize(
    "name, codec, is_cut",
    [("c.mp4", "libx264", True), ("c.avi", "mpeg4", True), ("c.mkv", "mpeg4", True), ("c.avi", "mpeg4", False)],
)
def test_a_damaged_video_gives_the_frames_before_and_one_error(tmp_path, name, codec, is_cut):
    noise = [Image.effect_noise((96, 64), 90).convert("RGB") for _ in range(30)]
    clip = save_clip(tmp_path / name, noise, codec, "yuv420p")
    data = clip.read_bytes()
    half = len(data) // 2
    clip.write_bytes(data[:half] if is_cut else data[:half] + bytes(4000) + data[half + 4000 :])
    *before, error = seconds(clip, sampling="0.1s")
    assert error is Kind.DAMAGED_ARCHIVE and before == [n / 10 for n in range(len(before))] and 9 < len(before) < 20


def test_what_is_no_video_and_a_missing_extra_are_sentences(tmp_path, clip, clipiqa, monkeypatch):
    (tmp_path / "x.mp4").write_bytes(b"none" * 99)
    pictures(1)[0].save(clip.parent / "a.png")
    for command, code, said in (
        ("score x.mp4 -b mini", 1, "is not a video"),
        ("score missing.mp4 -b mini", 1, "does not exist"),
        ("score in -b mini", 0, "1 skipped: 1 .mkv; run `pip install '.[video]'`"),
        ("score in/clip.mkv -b mini", 1, "pip install '.[video]'"),
    ):
        if said[0] == "1":
            monkeypatch.setitem(sys.modules, "av", None)
        ran = clipiqa(command)
        assert (ran.code in (1, 2)) == bool(code) and said in ran.err


def test_decoding_streams(tmp_path, monkeypatch):
    """However long a video is, few of its frames are in memory."""
    (video,) = find_sources(save_clip(tmp_path / "long.mkv", pictures(40, (320, 200))), sampling="0.1s").sources
    monkeypatch.setattr(shard_images, "AHEAD_BYTES", 4 * 3 * 320 * 200)
    alive, most = weakref.WeakSet(), 0
    for frame in read_ahead(video):
        alive.add(frame)
        most = max(most, len(alive))
    assert most < 8


# Runs


def test_two_videos_of_a_name_and_one_in_a_store(clip, tmp_path):
    save_clip(tmp_path / "in/b/clip.mkv", pictures(12))
    score(tmp_path / "in", tmp_path / "s.csv")
    names = [path.rpartition("::")[0] for path in pandas.read_csv(tmp_path / "s.csv").path]
    assert sorted(names) == [f"{tmp_path}/in/b/clip.mkv"] * 2 + [str(clip)] * 3
    with fsspec.open("memory://clips/clip.mkv", "wb") as file:
        file.write(clip.read_bytes())
    assert seconds("memory://clips/clip.mkv") == [0, 1, 2]


def test_an_interrupted_run_goes_on_and_another_sampling_is_refused(clip, tmp_path):
    metric = Logged(tmp_path / "log", stop=2)

    def run(**options):
        score(clip.parent, tmp_path / "s.csv", {"grey": metric}, resume=True, **options)
        return metric.calls()

    with pytest.raises(KeyboardInterrupt):
        run()
    metric.reset()
    assert run() == 1 and run() == 1
    assert "sampling" in refused(run, sampling="0.5s")


def test_a_frame_is_found_by_its_name(clip):
    (frame,) = images_named([f"{clip}::000000.700"])
    np.testing.assert_array_equal(pixels(frame), np.asarray(pictures(30)[7]))
