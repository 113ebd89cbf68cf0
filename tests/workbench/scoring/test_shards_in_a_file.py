"""Shards, Parquet files and photos into one file: each image once, and a later run scores only what is missing."""

import os

import pandas
import pytest
from metrics import Brightness
from photos import save_grey
from shard_makers import Logged, picture, samples, save_parquet, save_tar, score

from clipiqa_pyiqa.workbench.images.image import BytesImage, File
from clipiqa_pyiqa.workbench.results.companion_files import journal_of
from clipiqa_pyiqa.workbench.sources.shards import Shard


class NotFinite(Brightness):
    """No score of a black picture."""

    def score(self, features, *questions):
        return super().score(features / (features > 0), *questions)


class Two:
    """Runs of metrics ``a`` and ``b``, which count the images that they score."""

    def __init__(self, folder, out):
        self.sources, self.out = folder, out
        self.a = Logged(folder.parent / "a.log")
        self.b = Logged(folder.parent / "b.log", 0.5)

    def score(self, names="ab", sources=None, **options):
        """Score what is missing; return the numbers of images that each metric scored."""
        metrics = [{name: getattr(self, name)} for name in names]
        self.done = score(sources or self.sources, self.out, metrics, **{"resume": True, **options})
        return self.calls()

    def interrupt(self, name, stop, **options):
        """Score until a metric stops the run; return the numbers of scored images."""
        getattr(self, name).reset(stop)
        with pytest.raises(KeyboardInterrupt):
            self.score(**options)
        return self.calls()

    def calls(self):
        return self.a.reset(), self.b.reset()

    def table(self):
        table = pandas.read_parquet(self.out).set_index("path")
        return table.rename(index=lambda path: path.removeprefix(f"{self.sources}/"))


@pytest.fixture
def out(tmp_path):
    """The file of results."""
    return tmp_path / "out.parquet"


@pytest.fixture
def run(tmp_path, out):
    """Six photos, a tar of three pictures and a Parquet file of two."""
    two = Two(tmp_path / "in", out)
    for number in range(6):
        photo(tmp_path / "in", number, 40 * number)
    save_tar(tmp_path / "in/0.tar", samples([10, 20, 30]))
    save_parquet(tmp_path / "in/t.parquet", {"image": [picture(50), picture(60)]})
    two.sources = [tmp_path / "in", tmp_path / "in/t.parquet"]
    two.photos = tmp_path / "in"
    return two


def photo(folder, number, grey):
    folder.mkdir(exist_ok=True)
    (folder / f"{number}.png").write_bytes(picture(grey))
    os.utime(folder / f"{number}.png", ns=(grey, grey))


# Rows


def test_failures_of_all_kinds_are_rows_and_the_run_goes_on(tmp_path, out):
    members = {"memory/nan.png": picture(0), "undamaged/empty.png": b"", "not finite/0.png": b"x"}
    members |= {"ok.png": picture(9), "link.png": None, "small.png": picture(1, (8, 8)), "../3.png": picture(1)}
    tar = save_tar(tmp_path / "0.tar", members)
    cut = save_tar(tmp_path / "1.tar", samples(range(1, 10)))
    cut.write_bytes(cut.read_bytes()[:6000])
    (tmp_path / "2.parquet").write_bytes(b"none")
    empty = save_tar(tmp_path / "3.tar", {"a.txt": b"x"})
    (tmp_path / "too small.png").mkdir()
    sources = [tar, cut, tmp_path / "2.parquet", empty, tmp_path / "gone.png", File(str(tmp_path / "too small.png"))]
    score(sources, out, NotFinite())
    rows = pandas.read_parquet(out).set_index("path")
    failures = {"not finite": 1, "empty": 2, "not an image": 1, "not a file": 2, "too small": 1, "path outside": 1}
    assert rows.kind.value_counts().to_dict() == {**failures, "damaged archive": 2, "missing": 1}
    assert rows.kind[f"{tar}::memory/nan.png"] == "not finite" and rows.quality[f"{tar}::ok.png"] > 0
    assert rows.quality[f"{cut}::0000.png"] >= 0 and "truncated" in rows.error[str(cut)]


# Images


def test_images_of_an_own_shard_have_its_stamp_and_are_scored_again_if_it_has_none(run):
    class Own(Shard):
        name = "own"

        def entries(self):
            return [BytesImage(f"own::{number}", picture(number)) for number in range(2)]

    own = Own()
    assert [run.score("a", own) for _ in range(2)] == [(2, 0)] * 2
    own.stamp = lambda: "1"
    run.score("a", own)
    assert run.score("ab", own) == (0, 2)
    own.stamp = lambda: "2"
    assert run.score("a", own) == (2, 0)


# Interruption


@pytest.mark.parametrize("stop", [1, 5, 7, 10])
def test_no_image_of_an_interrupted_run_is_lost(run, stop):
    assert run.interrupt("a", stop)[0] == stop
    again = run.score()
    assert again[0] == 11 - stop and again[1] in (11 - stop, 12 - stop)
    assert len(run.table()) == 11 and not journal_of(run.out).exists()


# Commands


@pytest.mark.usefixtures("standin")
class TestCommand:
    @pytest.fixture
    def lake(self, tmp_path):
        """Three shards of seven images of known brightness."""
        for name, greys in {"a/000": [0, 51, 102], "a/001": [153, 204], "b/000": [255, 10]}.items():
            save_tar(tmp_path / f"lake/{name}.tar", samples(greys))
        return tmp_path / "lake"

    def test_shards_into_one_file_and_on_the_terminal(self, clipiqa, lake):
        clipiqa("score lake/a --keep n --out s.csv --device cpu", 0)
        clipiqa(
            "score lake --keep n --out s.csv --resume --device cpu",
            0,
            "2 scored, 0 failed",
            "5 images done in an earlier run",
        )
        assert list(pandas.read_csv("s.csv").n) == [0, 1, 2, 0, 1, 0, 1]
        assert clipiqa("score lake/a/000.tar --device cpu").out.count("000.tar::") == 3
        clipiqa("score lake/{a,b}/{000..001}.tar --out t.csv --device cpu", 1, "b/001.tar' does not exist")
        assert clipiqa("rank s.csv --best 1 --paths", 0).out == "lake/b/000.tar::0000.png\n"

    def test_a_kept_column_ranks_images_by_any_direction(self, clipiqa, tmp_path):
        members = {f"2024.05.{n:02d}.png": picture(40 * n) for n in range(6)}
        members |= {"2025.png": b"x", "2025.json": b'{"n": 9}', "2026.png": picture(0), "2026.json": b'{"n": 2}'}
        save_tar(tmp_path / "s.tar", members)
        clipiqa("score s.tar --keep n --out s.parquet --device cpu", 1)
        line = "rank s.parquet --best 1 --columns path n --higher-better --paths"
        clipiqa(line, 1, "7 images left out", out="2026.png")

    def test_a_name_to_keep_that_samples_or_loose_photos_lack_is_a_line_and_exit_code_1(self, clipiqa, lake):
        save_grey(lake.parent / "photos/a.png", 9)
        for asked in ("lake --keep n captoin", "photos lake --keep n"):
            named = f"has the value {asked.split()[-1]!r}, which was to be kept"
            clipiqa(f"score {asked} --out {asked[:4]}.csv --device cpu", 1, named)

    def test_a_column_to_keep_or_of_images_that_a_parquet_file_lacks_is_its_failure(self, clipiqa, tmp_path):
        save_parquet(tmp_path / "a.parquet", {"image": [picture(9)], "id": [1], "thumb": [picture(8)]})
        save_parquet(tmp_path / "b.parquet", {"image": [picture(9)]})
        said = clipiqa("score a.parquet b.parquet --keep id --out s.csv --device cpu", 1, "no column 'id' to keep").err
        assert "choose among its columns (image)" in said
        assert "1 scored, 1 failed" in said
        clipiqa("score a.parquet --image-column thumb --out t.csv --device cpu", 0)
        assert pandas.read_csv("t.csv").quality[0] == pytest.approx(8 / 255)

    def test_a_broken_sidecar_is_counted_and_named_and_its_image_is_scored(self, clipiqa, lake):
        save_tar(lake / "a/002.tar", {"0.png": picture(51), "0.json": b"{", **samples([60], 1)})
        asked = "score lake/a/002.tar --keep caption --device cpu --out"
        clipiqa(f"{asked} s.csv", 1, "0.json' holds no JSON object", "1 failed")
        ran = clipiqa(
            f"{asked} s.csv --resume", 1, "1 failed in the earlier run", "3 images done in an earlier run; to score: "
        )
        assert "was to be kept" not in ran.err  # rows that are kept have captions
        clipiqa("score lake/a/002.tar --keep json --out text.csv --device cpu", 0)

    def test_a_folder_of_results_is_refused(self, clipiqa, lake):
        for out in ("results", "lake"):
            assert clipiqa(f"score lake --out {out} --device cpu", 2).err.count("error: ") == 1
