"""Photos picked from score files, taken elsewhere and back, and the page that shows them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas
import pytest
from photos import save_corrupt, save_grey
from PIL import Image

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.ranking.page import write_browser
from clipiqa_pyiqa.ranking.picking import Photos, pick
from clipiqa_pyiqa.ranking.thumbnails import thumbnails
from clipiqa_pyiqa.ranking.transfers import transfer, undo
from clipiqa_pyiqa.scoring.score_files import read_any_scores

VALUES = [0.4, 0.1, 0.8, None, 0.2, 0.6]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six grey photos in two folders, two of one name, and their scores as another tool might write them."""
    names = ["a/0.png", "a/1.png", "a/2.png", "b/1.png", "b/4.png", "b/5 ü.png"]
    for number, name in enumerate(names):
        save_grey(tmp_path / "photos" / name, 40 * number)
    frame = pandas.DataFrame({"Image Name": names, "MOS": VALUES, "niqe": [3, 9, 4, 5, 6, 7], "camera": list("xyxyxy")})
    frame.to_csv(tmp_path / "scores.csv", index=False)
    return tmp_path


def photos(folder: Path, by: str = "MOS", **options: Any) -> Photos:
    return Photos(read_any_scores(folder / "scores.csv"), by, root=folder / "photos", **options)


class TestPick:
    def test_worst_best_below(self, folder: Path) -> None:
        known = photos(folder)
        assert list(pick(known, worst=2).index) == ["a/1.png", "b/4.png"]
        assert list(pick(known, best=2).index) == ["a/2.png", "b/5 ü.png"]
        assert list(pick(known, below=0.4)) == [0.1, 0.2]
        assert list(pick(known, worst=1, best=1)) == [0.1, 0.8] and len(pick(known, worst=9, best=9)) == 5
        assert list(pick(photos(folder, "niqe", lower_better=True), worst=2)) == [9, 7]
        assert list(pick(photos(folder, "niqe", lower_better=True), below=6)) == [9, 7]

    def test_command_prints_paths_and_nothing_else(self, folder: Path, capfdbinary: Any) -> None:
        command = ["rank", str(folder / "scores.csv"), "--root", str(folder / "photos"), "--worst", "2", "--paths"]
        assert main(command) == 0
        expected = [str(folder / "photos" / name) for name in ("a/1.png", "b/4.png")]
        assert capfdbinary.readouterr().out.decode().splitlines() == expected
        assert main([*command, "-0", "--by", "niqe"]) == 0  # which pyiqa knows as lower-better
        named = [str(folder / "photos" / name) for name in ("a/1.png", "b/5 ü.png")]
        assert capfdbinary.readouterr().out == b"".join(os.fsencode(name) + b"\0" for name in named)

    def test_table_of_a_score_file(self, folder: Path, capsys: Any) -> None:
        assert main(["rank", str(folder / "scores.csv"), "--below", "0.3"]) == 0
        assert capsys.readouterr().out == "   MOS  path\n0.1000  a/1.png\n0.2000  b/4.png\n"
        out = folder / "out"
        command = ["rank", str(folder / "scores.csv"), "--root", str(folder / "photos"), "--out", str(out)]
        assert main([*command, "--count", "1", "--columns", "Image Name", "MOS"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 3
        assert {"ranking.csv", "rank-MOS.png", "summary.json"} <= {path.name for path in out.iterdir()}

    def test_folders_are_scored(self, folder: Path, capsys: Any) -> None:
        command = ["rank", str(folder / "photos"), "--backbone", "mini", "--device", "cpu", "--quiet", "--worst", "1"]
        assert main([*command, "--prompts", "brightness", "--paths"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert Path(line).is_file()


class TestTransfer:
    @pytest.mark.parametrize("action", ["copy", "move", "link"])
    def test_there_and_back(self, folder: Path, action: str) -> None:
        sources = [folder / "photos/a/1.png", folder / "photos/b/1.png"]
        before = [path.read_bytes() for path in sources]
        target = folder / "bad"
        target.mkdir()
        (target / "1.png").write_bytes(b"mine")
        done, undo_list = transfer(map(str, sources), target, action)
        assert [Path(path).name for path in done] == ["1-2.png", "1-3.png"]
        assert [Path(path).read_bytes() for path in done] == before and (target / "1.png").read_bytes() == b"mine"
        assert [path.exists() for path in sources] == [action != "move"] * 2
        assert [os.path.islink(path) for path in done] == [action == "link"] * 2
        assert undo(undo_list) == (2, [])
        assert [path.read_bytes() for path in sources] == before
        assert [path.name for path in target.iterdir()] == ["1.png"]

    def test_undo_keeps_what_has_changed(self, folder: Path) -> None:
        source = folder / "photos/a/1.png"
        (place,), moved = transfer([str(source)], folder / "moved", "move")
        source.write_bytes(b"another")
        back, left = undo(moved)
        assert back == 0 and "is taken by another file" in left[0]
        assert source.read_bytes() == b"another" and Path(place).exists() and moved.exists()
        (copied,), copies = transfer([str(folder / "photos/a/0.png")], folder / "copied", "copy")
        Path(copied).write_bytes(b"edited")
        assert "not the same" in undo(copies)[1][0] and Path(copied).read_bytes() == b"edited"

    def test_stopped_in_the_middle(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A move whose copy is there and whose original is not yet gone is known to the list."""
        source = folder / "photos/a/1.png"
        content = source.read_bytes()
        monkeypatch.setattr("os.unlink", lambda *a, **k: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(CLIPIQAError, match=r"cannot be taken to .*Input/output error; 0 were, which --undo"):
            transfer([str(source)], folder / "moved", "move")
        monkeypatch.undo()
        (undo_list,) = (folder / "moved").glob("clipiqa-undo-*.jsonl")
        assert undo(undo_list) == (1, []) and source.read_bytes() == content
        assert list((folder / "moved").glob("*.png")) == []

    @pytest.mark.parametrize("action", ["copy", "move"])
    @pytest.mark.parametrize("length", [0, 50])
    def test_a_copy_that_a_kill_tore_is_removed(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, action: str, length: int
    ) -> None:
        source = folder / "photos/a/1.png"
        content = source.read_bytes()

        def killed(file: Any, out: Any, size: int) -> None:
            out.write(file.read(length))
            raise SystemExit

        monkeypatch.setattr("shutil.copyfileobj", killed)
        monkeypatch.setattr("os.link", lambda *a, **k: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link")))
        monkeypatch.setattr("os.unlink", lambda *a, **k: None)  # a kill leaves no time for it
        with pytest.raises(SystemExit):
            transfer([str(source)], folder / "taken", action)
        monkeypatch.undo()
        (undo_list,) = (folder / "taken").glob("clipiqa-undo-*.jsonl")
        assert (folder / "taken/1.png").stat().st_size == length
        assert undo(undo_list) == (1, []) and source.read_bytes() == content
        assert not list((folder / "taken").glob("*.png"))

    def test_an_empty_list_is_a_list(self, folder: Path) -> None:
        """A kill before the first photo leaves one; an empty file of another name is none."""
        for name in ("clipiqa-undo-20260131-120000.jsonl", "mine.jsonl"):
            (folder / name).touch()
        assert undo(folder / "clipiqa-undo-20260131-120000.jsonl") == (0, [])
        with pytest.raises(CLIPIQAError, match="is no list of photos"):
            undo(folder / "mine.jsonl")
        assert [path.name for path in folder.glob("*.jsonl")] == ["mine.jsonl"]

    def test_command(self, folder: Path, capsys: Any) -> None:
        command = ["rank", str(folder / "scores.csv"), "--root", str(folder / "photos"), "--below", "0.3"]
        assert main([*command, "--move-to", str(folder / "bad")]) == 0
        said = capsys.readouterr()
        undo_list = re.search(r"2 photos moved; --undo '(.+)' puts them back", said.err)
        assert (
            undo_list
            and said.out == ""
            and sorted(p.name for p in (folder / "bad").glob("*.png")) == ["1.png", "4.png"]
        )
        assert main([*command, "--copy-to", str(folder / "again")]) == 2
        assert "is not there (and 1 more like it): nothing was taken" in capsys.readouterr().err
        assert main(["rank", "--undo", undo_list[1]]) == 0 and (folder / "photos/b/4.png").is_file()


class TestPage:
    def test_holds_everything_and_is_made_once(self, folder: Path) -> None:
        save_corrupt(folder / "photos/b/4.png")
        page = write_browser(photos(folder), folder / "page")
        data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)[1])  # type: ignore[index]
        assert data["scores"]["MOS"] == VALUES and data["extra"] == {"camera": list("xyxyxy")}
        assert data["lowIsGood"] == ["niqe"] and "MOS: higher is better (by its name, mos)." in page.read_text()
        assert data["links"][0] == "../photos/a/0.png" and data["links"][5] == "../photos/b/5%20%C3%BC.png"
        assert data["small"][4] == "" and all(data["small"][:4])
        small = folder / "page/thumbnails" / data["small"][0]
        assert Image.open(small).size == (48, 40)
        before = small.stat().st_mtime_ns
        write_browser(photos(folder), folder / "page")  # its own page is replaced
        assert small.stat().st_mtime_ns == before

    def test_markup_in_names_is_text(self, tmp_path: Path) -> None:
        name = "<script>alert(1)<!--.png"
        save_grey(tmp_path / name, 9)
        (tmp_path / "s.csv").write_text(f'image,"</script><b>"\n{name},0.5\n')
        known = Photos(read_any_scores(tmp_path / "s.csv"), "</script><b>", root=tmp_path)
        page = write_browser(known, tmp_path / "page").read_text()
        assert page.count("<script") == 2 and "<b>alert" not in page and "&lt;/script&gt;" in page

    def test_large_jpegs_upright(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (900, 600), "red").save(tmp_path / "a.jpg", exif=exif)
        (name,) = thumbnails([str(tmp_path / "a.jpg")], tmp_path / "small")
        assert Image.open(tmp_path / "small" / name).size == (147, 220)

    def test_a_folder_that_moved(self, folder: Path, capsys: Any) -> None:
        command = ["rank", str(folder / "scores.csv"), "--page", str(folder / "page"), "--quiet"]
        assert main(command) == 2
        assert "none of 6 photos is there, such as 'a/0.png': if they have moved" in capsys.readouterr().err
        assert main([*command, "--root", str(folder / "photos")]) == 0
        (folder / "page/browse.html").write_text("mine")
        assert main([*command, "--root", str(folder / "photos")]) == 2

    @pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
    def test_in_a_browser(self, folder: Path) -> None:
        page = write_browser(photos(folder), folder / "page")
        command = [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=3000",
            "--dump-dom",
        ]
        dom = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120).stdout
        assert "6 of 6 photos" in dom and dom.count('class="cell"') == 6
        cells = re.findall(r"<b>([\d.–-]+)</b></label>", dom)
        assert cells == ["0.1000", "0.2000", "0.4000", "0.6000", "0.8000", "–"]  # no score: last


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no PATH given"),
        (["{scores}", "--paths"], "--paths needs to know which photos"),
        (["{scores}", "--move-to", "x"], "--move-to needs to know which photos"),
        (["{scores}", "--worst", "1", "--move-to", "x", "--copy-to", "y"], "give one of them"),
        (["{scores}", "--by", "MUS", "--worst", "1"], "no scores called 'MUS': did you mean 'MOS'"),
        (["{scores}", "--prompts", "quality"], "a score file has its answers"),
        (["{root}/photos", "--columns", "MOS"], "--columns is about a score file"),
        (["{root}/none.csv", "--worst", "1"], "is no file"),
        (["--undo", "{scores}"], "is no list of photos"),
        (["--undo", "{root}/none.jsonl"], "cannot be read"),
        (["{scores}", "-0", "--worst", "1"], "--null ends the paths of --paths"),
        (["{scores}", "--worst", "1", "--root", "{root}/photos", "--copy-to", "{root}/photos/a"], "lies in .* already"),
    ],
)
def test_bad_usage(folder: Path, options: list[str], message: str, capsys: Any) -> None:
    given = [text.format(scores=folder / "scores.csv", root=folder) for text in options]
    assert main(["rank", *given]) == 2
    assert re.search(message, capsys.readouterr().err)
