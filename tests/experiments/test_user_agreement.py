"""``clipiqa agreement``: reading votes, accuracy computed another way, ties, and votes from a known order."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from photos import save_corrupt, save_exposures, save_grey
from standin import Brightness

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.datasets.votes import read_votes
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.experiments.user_agreement import agreement

LEVELS = {"a.png": 50, "b.png": 100, "c.png": 150, "d.png": 200}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, level in LEVELS.items():
        save_grey(tmp_path / name, level)
    return tmp_path


def write(folder: Path, *lines: str, head: str = "attribute,first,second,choice") -> Path:
    path = folder / "votes.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


class TestVotes:
    def test_one_row_per_vote_in_every_spelling(self, folder: Path) -> None:
        choices = ["first", "a.png", "second", "b.png", "b.png", "tie", ""]
        votes = read_votes(write(folder, *(f"happy,a.png,b.png,{choice}" for choice in choices))).frame
        assert votes[["votes_first", "votes_second", "undecided"]].to_numpy().tolist() == [[2, 3, 2]]

    def test_one_row_per_pair_says_the_same(self, folder: Path) -> None:
        single = read_votes(write(folder, *["happy,a.png,b.png,first"] * 3, *["happy,a.png,b.png,second"] * 2))
        counted = read_votes(
            write(folder, "Happy/Sad,a.png,b.png,3,2,x", head="attribute,first,second,votes_first,votes_second,note")
        )
        pd.testing.assert_frame_equal(single.frame, counted.frame)

    def test_the_same_two_images_in_the_other_order(self, folder: Path) -> None:
        votes = read_votes(write(folder, "happy,a.png,b.png,first", "happy,b.png,a.png,first")).frame
        assert votes[["votes_first", "votes_second"]].to_numpy().tolist() == [[1, 1]]

    def test_an_attribute_for_all_rows(self, folder: Path) -> None:
        path = write(folder, "a.png,b.png,first", head="first,second,choice")
        votes = read_votes(path, attribute="Crisp photo.|Hazy photo.")
        assert votes.columns["Crisp photo.|Hazy photo."][0].negative == "Hazy photo."
        with pytest.raises(CLIPIQAError, match=r"has no column 'attribute'"):
            read_votes(path)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("hapy,a.png,b.png,first", r"line 2: unknown prompt pair 'hapy': did you mean 'happy'\?"),
            ("happy,a.png,b.png,frist", r"line 2: choice must be .* got 'frist': did you mean 'first'"),
            ("happy,a.png,x.png,first", r"1 of 2 images named in .*votes.csv' cannot be found \(.*x\.png'\)"),
            ("happy,a.png,a.png,first", r"line 2: both images are .*a\.png', but a choice is between two"),
            ("happy,a.png,first", r"line 2: expected 4 columns"),
        ],
    )
    def test_rows_that_cannot_be_used(self, line: str, message: str, folder: Path) -> None:
        with pytest.raises(CLIPIQAError, match=message):
            read_votes(write(folder, line))

    def test_counts_that_are_none(self, folder: Path) -> None:
        path = write(folder, "happy,a.png,b.png,3,-1", head="attribute,first,second,votes_first,votes_second")
        with pytest.raises(CLIPIQAError, match=r"line 2: .* must be whole numbers; got '3' and '-1'"):
            read_votes(path)

    def test_missing_images_may_be_left_out(self, folder: Path) -> None:
        path = write(folder, "happy,a.png,x.png,first", "happy,a.png,b.png,first")
        votes = read_votes(path, skip_missing=True)
        assert len(votes.frame) == 1 and [Path(name).name for name in votes.missing] == ["x.png"]

    def test_a_missing_file_or_column(self, folder: Path) -> None:
        with pytest.raises(CLIPIQAError, match=r"gone\.csv' cannot be read"):
            read_votes(folder / "gone.csv")
        with pytest.raises(CLIPIQAError, match=r"has no column 'choice'"):
            read_votes(write(folder, "happy,a.png,b.png,1", head="attribute,first,second,answered"))


class TestAgreement:
    def test_by_hand(self, folder: Path) -> None:
        """Brightness prefers the later letter. The majority agrees on a-b and c-d, not on a-c, and is tied on b-d."""
        path = write(
            folder, "happy,a.png,b.png,1,4", "happy,d.png,c.png,5,0", "happy,a.png,c.png,3,2", "happy,b.png,d.png,2,2",
            head="attribute,first,second,votes_first,votes_second",
        )  # fmt: skip
        found = agreement(Brightness(), read_votes(path))
        row = found.summary().iloc[0]
        assert (row["pairs"], row["tied"], row["votes"]) == (3, 1, 19)
        assert row["majority accuracy"] == pytest.approx(2 / 3)
        assert row["vote accuracy"] == pytest.approx((4 + 5 + 2 + 2) / 19)
        assert row["ceiling"] == pytest.approx((4 + 5 + 3 + 2) / 19)
        assert row["vote low"] < row["vote accuracy"] < row["vote high"]
        assert [Path(file).name for file in found.contradictions()["first"]] == ["a.png"]
        assert found.contradiction_sheet() is not None

    def test_equal_scores_side_with_nobody(self, folder: Path) -> None:
        save_grey(folder / "b.png", LEVELS["a.png"])
        found = agreement(Brightness(), read_votes(write(folder, "happy,a.png,b.png,first")))
        assert found.summary().iloc[0][["majority accuracy", "vote accuracy"]].tolist() == [0, 0]

    def test_each_image_is_encoded_once_for_all_attributes(self, folder: Path) -> None:
        lines = [f"{attribute},a.png,{other}.png,first" for attribute in ("happy", "new") for other in "bcd"]
        metric = Brightness()
        summary = agreement(metric, read_votes(write(folder, *lines))).summary()
        assert sum(batch[0] for batch in metric.batches) == 4
        assert list(summary["attribute"]) == ["happy", "new", "all"] and list(summary["pairs"]) == [3, 3, 6]

    def test_a_corrupt_image_takes_its_pairs_along(self, folder: Path) -> None:
        save_corrupt(folder / "b.png")
        found = agreement(Brightness(), read_votes(write(folder, "new,a.png,b.png,first", "new,a.png,c.png,first")))
        assert len(found.frame) == 1 and "b.png" in next(iter(found.failed))
        with pytest.raises(CLIPIQAError, match="no pair has scores for both images"):
            agreement(Brightness(), read_votes(write(folder, "new,a.png,b.png,first")))

    def test_the_bars_are_the_accuracies(self, folder: Path) -> None:
        lines = ["happy,a.png,b.png,second", "happy,c.png,d.png,first", "new,a.png,b.png,second"]
        found = agreement(Brightness(), read_votes(write(folder, *lines)))
        (axes,) = found.figure().axes
        assert [bar.get_height() for bar in axes.patches] == pytest.approx([0.5, 1, 2 / 3])

    def test_long_attributes_do_not_overlap(self, folder: Path) -> None:
        asked = ["Sharp photo of a great many things.|Blurry photo.", "happy", "Warm and cosy photo.|Cold photo."]
        figure = agreement(Brightness(), read_votes(write(folder, *[f"{a},a.png,b.png,first" for a in asked]))).figure()
        FigureCanvasAgg(figure).draw()
        labels = figure.axes[0].get_xticklabels()
        assert labels[1].get_text() == "happy\n1 pair"
        assert figure.axes[0].get_xlim() == pytest.approx((-0.6, 3.6))
        for label, other in itertools.pairwise(labels):
            assert not label.get_window_extent().overlaps(other.get_window_extent())


class TestCommand:
    def test_votes_from_a_known_order(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """People choose the brighter version, but in one pair of each photo; and one vote of four is an error."""
        lines, expected = [], []
        for files in save_exposures(tmp_path / "photos").values():
            for number, (dark, bright) in enumerate(itertools.combinations(files, 2)):
                swayed = number == 0
                names = [f"photos/{file.name}" for file in ((bright, dark) if number % 2 else (dark, bright))]
                wanted = (dark if swayed else bright).name
                votes = [3 if Path(name).name == wanted else 1 for name in names]
                lines.append(",".join(["brightness", *names, *map(str, votes)]))
                expected.append(not swayed)
        path = write(tmp_path, *lines, head="attribute,first,second,votes_first,votes_second")
        out = tmp_path / "out"
        assert main(["agreement", str(path), "--backbone", "mini", "--out", str(out), "-q"]) == 0
        said = json.loads((out / "summary.json").read_text())["summary"][0]
        assert said["majority accuracy"] == pytest.approx(np.mean(expected)) == pytest.approx(10 / 12)
        assert said["vote accuracy"] == pytest.approx(np.mean([0.75 if right else 0.25 for right in expected]))
        assert said["ceiling"] == 0.75
        frame = pd.read_csv(out / "agreement.csv")
        assert list(frame["right"]) == expected
        assert re.search(r"brightness +12 +0 +0\.8333 \[", capsys.readouterr().out)
        assert (out / "agreement.png").exists() and (out / "contradictions.png").exists()

    def test_what_was_left_out_is_said(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = write(
            folder, "brightness,a.png,b.png,first", "brightness,a.png,b.png,second", "brightness,c.png,d.png,tie",
            "brightness,c.png,d.png,second", "brightness,a.png,x.png,first",
        )  # fmt: skip
        args = ["agreement", str(path), "--backbone", "mini"]
        assert main(args) == 2
        assert "(skip_missing)" in capsys.readouterr().err
        assert main([*args, "--skip-missing"]) == 0
        said = capsys.readouterr().err
        assert "1 pair without a majority" in said and "1 vote for neither" in said and "1 image missing" in said
