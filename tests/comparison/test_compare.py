"""Metrics side by side: the numbers, what is shared, what is left out, and what is kept of a run that ends early."""

from __future__ import annotations

import math
import os
import signal
import textwrap
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pyiqa
import pytest
import torch
from forked import Forked
from graded import BEST, graded_data_set
from PIL import Image, ImageFile
from pyiqa.data import build_dataset
from scipy import stats

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.comparison.compare import compare
from clipiqa_pyiqa.comparison.scorers import StoredScore
from clipiqa_pyiqa.datasets.data_sets import DataSet
from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.files.journal import JournalFolder
from clipiqa_pyiqa.files.locking import LockedError

BUNDLED = Path(__file__).parents[1] / "data"
MINI = {"metric": "clipiqa", "metric_opts": {"backbone": "mini"}}


class Spread:
    """Grows with contrast; records how many images it was given."""

    lower_better = False
    metric_mode = "NR"
    score_range = "0, 1"

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign
        self.calls = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[0] == 1 and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
        self.calls += 1
        return self.sign * x.std().view(1, 1)


class Flatness(Spread):
    lower_better = True

    def __init__(self) -> None:
        super().__init__(-1)


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Three photos in every kind and grade: the data root, and pyiqa's options."""
    root = tmp_path_factory.mktemp("datasets")
    photos = sorted(BUNDLED.glob("*.jpg"))
    with Image.open(photos[0]) as photo:
        photo.rotate(90).save(root / "third.png")
    return root, graded_data_set(root, [*photos, root / "third.png"], size=(128, 96))


@pytest.fixture()
def contrasts(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """One photo in five contrasts: what its spread and the score must come to is known."""
    root = tmp_path / "contrasts"
    return root, graded_data_set(root, [BUNDLED / "canyon-wren.jpg"], ["contrast"], size=(64, 48))


def rows(comparison: Any) -> dict[str, dict[str, Any]]:
    """Metric -> row, of the first data set."""
    frame = comparison.frame()
    first = frame[frame["data_set"] == frame["data_set"].iloc[0]]
    return {row["metric"]: row for row in first.to_dict("records")}


class TestNumbers:
    def test_correlations_are_those_of_the_raw_scores(
        self, graded: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        root, options = graded
        metrics = {"piqe": None, "entropy": None, "mini": MINI}
        found = compare(metrics, {"graded": options}, data_root=root, out=tmp_path / "out", bootstrap=50)
        kept = pandas.read_parquet(tmp_path / "out" / "scores" / "graded.parquet")
        assert len(kept) == 2 * 21 and set(kept["mos"]) == {1.0, 2.0, 3.0, 4.0, 5.0}  # the 'test' part: two photos
        for label, row in rows(found).items():
            sign = -1 if label == "piqe" else 1  # lower-better
            assert row["n"] == 42 and row["direction"] == ("lower" if label == "piqe" else "higher")
            assert row["SROCC"] == pytest.approx(sign * stats.spearmanr(kept[label], kept["mos"]).statistic, abs=1e-9)
            assert row["PLCC"] == pytest.approx(sign * stats.pearsonr(kept[label], kept["mos"]).statistic, abs=1e-9)
            assert row["KRCC"] == pytest.approx(sign * stats.kendalltau(kept[label], kept["mos"]).statistic, abs=1e-9)
            assert row["SROCC low"] <= row["SROCC"] <= row["SROCC high"]
            metric = (
                pyiqa.create_metric("piqe" if label == "piqe" else label, device="cpu") if label != "mini" else None
            )
            for path in kept.index[:2]:
                expected = metric(path).item() if metric else CLIPIQA(backbone="mini")(pixels(path)).item()
                assert kept.loc[path, label] == pytest.approx(expected, abs=0 if metric else 1e-6)
        assert kept.attrs["metrics"]["mini"]["backbone"] == "mini" and "test part" in kept.attrs["note"]

    @pytest.mark.parametrize(("metric", "better"), [(Spread(), "higher"), (Flatness(), "lower")])
    def test_known_order(self, contrasts: tuple[Path, dict[str, Any]], metric: Spread, better: str) -> None:
        root, options = contrasts
        row = rows(compare({"known": metric}, {"contrasts": options}, data_root=root))["known"]
        assert row["direction"] == better
        assert row["SROCC"] == pytest.approx(1) and row["KRCC"] == pytest.approx(1) and row["PLCC"] > 0.99

    def test_niqe_and_brisque_are_pyiqas(self, shared: Path, tmp_path: Path) -> None:
        weights = shared / "data" / "weights"
        metrics = [
            f"niqe:pretrained_model_path={weights / 'niqe_modelparameters.mat'}",
            f"brisque:pretrained_model_path={weights / 'brisque_svm_weights.pth'}",
        ]
        photos = sorted((shared / "data" / "photos").glob("*.jpg"))[:2]
        options = graded_data_set(tmp_path / "datasets", photos, ["blur", "noise"], size=(256, 192))
        data = {"calibration": {"folder": str(shared / "data" / "calibration" / "dist")}, "graded": options}
        found = compare(metrics, data, data_root=tmp_path / "datasets", bootstrap=0)
        scores = found.data_sets[0].scores.rename(index=lambda path: Path(path).name)
        published = pandas.read_csv(shared / "data" / "calibration" / "published_scores.csv", index_col=0)
        for label in ("niqe", "brisque"):
            theirs = published.loc[f"{label}(ours)"].to_dict()  # by an earlier pyiqa and torch
            assert {name: scores.loc[name, label] for name in theirs} == pytest.approx(theirs, rel=5e-4, abs=0.01), (
                label
            )
            data_set = found.data_sets[1]
            assert data_set.mos is not None
            expected = -stats.spearmanr(data_set.scores[label], data_set.mos).statistic
            assert data_set.estimates[label]["SROCC"].value == pytest.approx(expected, abs=1e-9) and expected > 0.5
            assert data_set.metrics[label].published_as == label  # the published parameters, from a local file

    def test_undefined_correlations_say_why(self, tmp_path: Path) -> None:
        def constant(x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 1), 0.25)

        for number in range(3):
            Image.new("RGB", (40, 40), (number * 50,) * 3).save(tmp_path / f"{number}.png")
        (tmp_path / "s.csv").write_text("path,score\n" + "".join(f"{number}.png,{number}\n" for number in range(3)))
        (tmp_path / "one.csv").write_text("path,score\n1.png,3\n")
        data = [str(tmp_path / "s.csv"), str(tmp_path / "one.csv")]
        frame = compare({"constant": constant}, data).frame()
        assert frame["SROCC"].isna().all()
        assert list(frame["note"]) == [
            "all scores are 0.25",
            "1 image with a score, but a correlation needs at least 3",
        ]


class TestSharing:
    def test_variants_of_one_encoder_encode_each_image_once(
        self, graded: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root, options = graded
        encoded: Counter[str] = Counter()
        encode = CLIPIQA.encode_image

        def counting(self: CLIPIQA, x: torch.Tensor) -> torch.Tensor:
            encoded[self.pos_embedding] += len(x)
            return encode(self, x)

        monkeypatch.setattr(CLIPIQA, "encode_image", counting)
        variants: dict[str, dict[str, Any]] = {
            "plain": {},
            "sharp": {"prompts": "sharpness"},
            "worded": {"template": "A photo of {}."},
            "several": {"prompts": ["quality", ["Clean photo.", "Noisy photo."]]},
            "other": {"pos_embedding": "fixed"},  # looks at images in another way
        }
        metrics = {
            label: {"metric": "clipiqa", "metric_opts": {"backbone": "mini", **more}}
            for label, more in variants.items()
        }
        found = compare(metrics, {"graded": options | {"phase": "train"}}, data_root=root, bootstrap=0)
        assert encoded == {"none": 21, "fixed": 21}
        monkeypatch.undo()
        scores = found.data_sets[0].scores
        images = torch.cat([pixels(path) for path in scores.index[:3]])
        for label, more in variants.items():
            with torch.no_grad():
                alone = CLIPIQA(backbone="mini", **more)(images).flatten().tolist()
            assert scores[label][:3].tolist() == pytest.approx(alone, abs=1e-6), label

    def test_a_pass_is_bounded_in_pixels_and_batches_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        images = [torch.rand(3, 40, 40 + 8 * (index % 2)) for index in range(10)]
        data = DataSet("made", tuple(f"/{n}.png" for n in range(10)), None, images.__getitem__)
        passes: list[int] = []
        encode = CLIPIQA.encode_image

        def noting(self: CLIPIQA, x: torch.Tensor) -> torch.Tensor:
            passes.append(len(x))
            return encode(self, x)

        monkeypatch.setattr(CLIPIQA, "encode_image", noting)
        one, several = (compare({"mini": MINI}, data, batch_size=size).data_sets[0] for size in (1, 10))
        assert passes == [1] * 10 + [5, 5]
        monkeypatch.setattr("clipiqa_pyiqa.images.batches.BATCH_PIXELS", 2 * 40 * 40)
        compare({"mini": MINI}, data, batch_size=10)
        assert sorted(passes[12:]) == [1, 1, 1, 1, 1, 1, 2, 2]  # of 40×40 two at a time, of 40×48 one
        assert one.scores["mini"].tolist() == pytest.approx(several.scores["mini"].tolist(), abs=1e-6)

    def test_what_draws_at_random_depends_on_the_image_alone(self) -> None:
        data = DataSet("made", ("/a", "/b", "/c"), None, lambda index: torch.zeros(3, 8, 8))
        before = torch.random.get_rng_state()
        found = compare({"random": lambda x: torch.rand(1)}, data)
        assert found.data_sets[0].scores["random"].nunique() == 1
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_what_works_in_place_spoils_no_other_metric(self) -> None:
        data = DataSet("made", ("/a", "/b", "/c"), None, lambda index: torch.full((3, 8, 8), index / 4))
        found = compare({"rude": lambda x: x.mul_(0).sum(), "mean": lambda x: x.mean()}, data)
        assert found.data_sets[0].scores["mean"].tolist() == [0, 0.25, 0.5]


class TestFailures:
    def test_a_failing_metric_is_told_and_the_others_finish(self, contrasts: tuple[Path, dict[str, Any]]) -> None:
        def choosy(x: torch.Tensor) -> torch.Tensor:
            if x.std() < 0.1:
                raise RuntimeError("too flat\nfor me")
            return x.mean()

        def broken(x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([math.nan])

        missing = {"metric": "niqe", "metric_opts": {"version": "nobody's"}}
        two = {"metric": "clipiqa", "metric_opts": {"backbone": "mini", "prompts": ["happy", "new"], "aggregate": None}}
        root, options = contrasts
        found = compare(
            {"fine": Spread(), "choosy": choosy, "broken": broken, "missing": missing, "two": two},
            {"data": options},
            data_root=root,
        )
        row = rows(found)
        assert row["fine"]["n"] == 5 and row["fine"]["SROCC"] == pytest.approx(1) and not row["fine"]["note"]
        assert 0 < row["choosy"]["n"] < 5 and "RuntimeError: too flat for me" in row["choosy"]["note"]
        assert row["broken"]["n"] == 0 and "its score is nan" in row["broken"]["note"]
        assert row["missing"]["n"] == 0 and "it cannot be built" in row["missing"]["note"]
        assert "10 scores came for 5 images" in row["two"]["note"] and "aggregate=mean" in row["two"]["note"]

    def test_an_image_too_small_for_one_metric_counts_for_the_others(self, tmp_path: Path) -> None:
        for side in (40, 44, 48):
            Image.effect_noise((side, side), 50).convert("RGB").save(tmp_path / f"{side}.png")
        Image.effect_noise((64, 20), 50).convert("RGB").save(tmp_path / "low.png")
        metrics = {"spread": Spread(), "brisque-like": _needs_40, "mini": MINI}
        found = compare(metrics, str(tmp_path)).data_sets[0]
        assert found.scores.notna().sum().to_dict() == {"spread": 4, "brisque-like": 3, "mini": 3} and not found.skipped
        assert "no score for 1 of 4 images, such as low.png" in found.metrics["brisque-like"].note
        assert "64×20 px, but mini needs at least 32 px" in found.metrics["mini"].note

    def test_a_corrupt_image_is_left_out_of_all_metrics(
        self, graded: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        _, options = graded
        root = tmp_path / "datasets"
        options = graded_data_set(root, [BUNDLED / "canyon-wren.jpg"], ["blur"], size=(64, 48))
        images = root / "graded" / "images"
        torn, gone = images / "canyon-wren_blur_2.png", images / "canyon-wren_blur_4.png"
        torn.write_bytes(torn.read_bytes()[:2000])
        gone.unlink()
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        found = compare({"a": Spread(), "b": Flatness()}, {"data": options}, data_root=root).data_sets[0]
        assert not ImageFile.LOAD_TRUNCATED_IMAGES  # pyiqa's data sets switch it on
        assert {Path(path).name: why.split(": ")[0].split("' ")[-1] for path, why in found.skipped.items()} == {
            torn.name: "is truncated or damaged",
            gone.name: "does not exist.",
        }
        assert len(found.scores) == 3 and found.scores.notna().all().all() and found.mos is not None
        assert sorted(found.mos) == [BEST - 3, BEST - 1, BEST]


class TestResuming:
    def test_goes_on_where_an_error_ended_it(self, contrasts: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
        class Ending(Spread):
            def __call__(self, x: torch.Tensor) -> torch.Tensor:
                if self.calls == 3:
                    raise KeyboardInterrupt
                return super().__call__(x)

        root, options = contrasts
        out = tmp_path / "out"
        with pytest.raises(KeyboardInterrupt):
            compare({"spread": Ending()}, {"data": options}, data_root=root, out=out, batch_size=1)
        with pytest.raises(ValueError, match="holds the scores of an earlier run"):
            compare({"spread": Spread()}, {"data": options}, data_root=root, out=out)
        again = Spread()
        found = compare({"spread": again}, {"data": options}, data_root=root, out=out, resume=True)
        assert again.calls == 2 and rows(found)["spread"]["SROCC"] == pytest.approx(1)
        third, other = Spread(), Flatness()
        compare({"spread": third, "flat": other}, {"data": options}, data_root=root, out=out, resume=True)
        assert (third.calls, other.calls) == (0, 5)
        fresh = Spread()
        compare({"spread": fresh}, {"data": options}, data_root=root, out=out, overwrite=True)
        assert fresh.calls == 5

    def test_other_options_are_another_metric_and_other_pixels_another_data_set(
        self, contrasts: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        root, options = contrasts
        small = options | {"augment": {"resize": 36}}
        first = compare({"clipiqa": MINI}, {"data": options}, data_root=root, out=tmp_path)
        sharp = {"metric": "clipiqa", "metric_opts": {"backbone": "mini", "prompts": "sharpness"}}
        second = compare({"clipiqa": sharp}, {"data": options}, data_root=root, out=tmp_path, resume=True)
        third = compare({"clipiqa": MINI}, {"data": small}, data_root=root, out=tmp_path, resume=True)
        scores = [found.data_sets[0].scores["clipiqa"].tolist() for found in (first, second, third)]
        assert scores[0] != scores[1] != scores[2] != scores[0]

    def test_another_seed_is_another_metric_unless_nothing_is_drawn(self, tmp_path: Path) -> None:
        data = DataSet("made", ("/a", "/b", "/c"), None, lambda index: torch.full((3, 40, 40), index / 4))

        def scores(seed: int) -> list[list[float]]:
            again = compare(
                {"drawn": lambda x: torch.rand(1), "mini": MINI}, data, out=tmp_path, seed=seed, resume=True
            )
            return [again.data_sets[0].scores[name].tolist() for name in ("drawn", "mini")]

        (first, mini), (second, same) = scores(0), scores(1)
        assert first == scores(0)[0] != second and mini == same
        (parts,) = (tmp_path / "parts").iterdir()
        stored = JournalFolder(parts, StoredScore)
        stored.load()
        assert sorted(key.partition("-")[0] for key in stored.entries) == ["clipiqa", "drawn", "drawn"]

    def test_an_unreadable_image_is_tried_again(self, tmp_path: Path) -> None:
        photo = tmp_path / "photos" / "b.png"
        photo.parent.mkdir()
        Image.new("RGB", (40, 40)).save(tmp_path / "photos" / "a.png")
        photo.write_bytes(b"")
        assert compare({"m": Spread()}, str(photo.parent), out=tmp_path / "o").data_sets[0].skipped
        Image.new("RGB", (40, 40)).save(photo)
        found = compare({"m": Spread()}, str(photo.parent), out=tmp_path / "o", resume=True).data_sets[0]
        assert not found.skipped and len(found.scores) == 2

    def test_a_killed_process_loses_a_second_of_work_at_most(self, forked: Forked, tmp_path: Path) -> None:
        for number in range(60):
            Image.new("RGB", (40, 40), (number, 0, 0)).save(tmp_path / f"{number:02}.png")
        code = textwrap.dedent(
            """
            import os, time
            from clipiqa_pyiqa import compare

            def slow(x):
                time.sleep(0.1)
                os.write(scored, b"x")
                return x.mean()

            scored = os.open("scored", os.O_WRONLY | os.O_CREAT)
            compare({"slow": slow}, os.getcwd(), out="out", batch_size=2)
            """
        )
        job = forked.start([], tmp_path, code=code)
        while not (tmp_path / "scored").exists() or (tmp_path / "scored").stat().st_size < 25:
            assert not job.ended
            time.sleep(0.01)
        job.kill(signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
        assert not (tmp_path / "out" / "scores" / f"{tmp_path.name}.parquet").exists()
        calls = []

        def slow(x: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            return x.mean()

        found = compare({"slow": slow}, str(tmp_path), out=tmp_path / "out", resume=True).data_sets[0]
        assert 60 - 27 <= len(calls) <= 60 - 25 + 14  # a second of work is ten images; four more for a slow machine
        assert found.scores["slow"].tolist() == pytest.approx([n / 255 / 3 for n in range(60)])

    def test_parts_are_merged_and_what_is_damaged_is_named_and_made_again(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        data = DataSet("made", tuple(f"/{n}" for n in range(30)), None, lambda index: torch.full((3, 8, 8), index / 30))
        compare({"m": lambda x: x.mean()}, data, out=tmp_path, batch_size=1)
        (part,) = (tmp_path / "parts").rglob("*.jsonl")
        found = compare({"m": Spread()}, data, out=tmp_path, resume=True)  # nothing is left to score
        assert found.data_sets[0].scores["m"].tolist() == pytest.approx([n / 30 for n in range(30)])
        (part,) = (tmp_path / "parts").rglob("*.jsonl")
        content = part.read_bytes()
        part.write_bytes(content.replace(b'"score": 0.5', b'"score": 0.6'))
        caplog.clear()
        mean, made = (lambda x: x.mean()), []
        found = compare({"m": lambda x: made.append(1) or mean(x)}, data, out=tmp_path, resume=True)
        assert found.data_sets[0].scores["m"].tolist() == pytest.approx([n / 30 for n in range(30)])
        assert len(made) == content.count(b'"score": 0.5') == 3
        assert f"line 16 of '{part}'" in caplog.text

    def test_nothing_of_others_is_replaced_and_one_run_at_a_time(self, tmp_path: Path) -> None:
        data, ran = DataSet("made", ("/a", "/b"), None, lambda index: torch.zeros(3, 8, 8)), []

        def work(x: torch.Tensor) -> torch.Tensor:
            ran.append(1)
            with pytest.raises(LockedError, match="is being written by process"):
                compare({"m": Spread()}, data, out=tmp_path / "new", resume=True)
            return x.mean()

        compare({"m": work}, data, out=tmp_path / "new").save(tmp_path / "new", report=False)
        assert ran and not (tmp_path / "new" / ".clipiqa.lock").exists()
        compare({"m": Spread()}, data, out=tmp_path / "new", resume=True).save(tmp_path / "new", report=False)
        for name in ("comparison.md", "scores/made.parquet"):
            theirs = tmp_path / name.partition(".")[0] / name
            theirs.parent.mkdir(parents=True)
            theirs.write_text("theirs")
            count, out = len(ran), tmp_path / name.partition(".")[0]
            with pytest.raises(OutputError, match="exists already: pass overwrite"):
                compare({"m": work}, data, out=out)
            reads = replace(data, table=str(theirs))
            with pytest.raises(OutputError, match="is one of the inputs"):
                compare({"m": work}, reads, out=out, overwrite=True)
            assert theirs.read_text() == "theirs" and len(ran) == count


class TestPyiqasLoaders:
    def test_pixels_are_pyiqas(self, graded: tuple[Path, dict[str, Any]]) -> None:
        from clipiqa_pyiqa.datasets.data_sets import parse_data_sets

        root, options = graded
        options = options | {"augment": {"resize": 64}, "phase": "test"}
        (data,) = parse_data_sets({"graded": options}, root)
        theirs = build_dataset(
            options
            | {key: str(options[key]).replace("./datasets", str(root)) for key in ("dataroot_target", "meta_info_file")}
        )
        assert len(theirs) == len(data.paths) == 42
        for index in (0, 17):
            item = theirs[index]
            assert item["img_path"] == data.paths[index] and item["mos_label"].item() == data.mos[index]  # type: ignore[index]
            assert item["img"].shape[-2:] == (64, 85) and torch.equal(item["img"], data.load(index))

    def test_a_full_reference_set_needs_no_references(
        self, graded: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        root, _ = graded
        names = sorted(path.name for path in (root / "graded" / "images").glob("*blur*"))[:4]
        table = tmp_path / "meta_info" / "meta_info_TID2013Dataset.csv"
        table.parent.mkdir()
        table.write_text("ref_name,dist_name,mos\n" + "".join(f"gone.bmp,{n},{i}\n" for i, n in enumerate(names)))
        (tmp_path / "tid2013").mkdir()
        (tmp_path / "tid2013" / "distorted_images").symlink_to(root / "graded" / "images")
        found = compare({"spread": Spread()}, "tid2013", data_root=tmp_path).data_sets[0]
        assert len(found.scores) == 4 and found.mos is not None and found.mos.tolist() == [0, 1, 2, 3]
        assert found.published_as == "tid2013"

    def test_ava_and_the_first_seven_of_live(self, graded: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
        from clipiqa_pyiqa.datasets.data_sets import parse_data_sets

        root, options = graded
        names = sorted(path.name for path in (root / "graded" / "images").glob("*.png"))[:9]
        table = tmp_path / "t.csv"
        table.write_text("name,mos\n" + "".join(f"{n},{i}\n" for i, n in enumerate(names)))
        here = {"dataroot_target": options["dataroot_target"], "meta_info_file": str(table)}
        given = {"livec": here, "ava": here | {"split_index": None}}
        live, ava = parse_data_sets(given, root)
        assert [Path(path).name for path in live.paths] == names[7:] and live.mos == (7, 8)
        assert [Path(path).name for path in ava.paths] == names and all(map(os.path.isfile, ava.paths))


def pixels(path: str) -> torch.Tensor:
    from torchvision.transforms.functional import to_tensor

    with Image.open(path) as image:
        return to_tensor(image.convert("RGB"))[None]


def _needs_40(x: torch.Tensor) -> torch.Tensor:
    assert min(x.shape[-2:]) >= 40, "too small"
    return x.mean()
