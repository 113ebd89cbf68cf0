"""Photos picked from score files, taken elsewhere and back, and the page that shows them."""

import json
import os
import re
import shlex
import tarfile
from pathlib import Path

import pandas
import pytest
from photos import save_corrupt, save_grey
from PIL import Image

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.ranking.page import write_browser
from clipiqa_pyiqa.ranking.picking import Photos
from clipiqa_pyiqa.ranking.transfers import transfer, undo
from clipiqa_pyiqa.scoring.score_files import read_any_scores

VALUES = [0.4, 0.1, 0.8, None, 0.2, 0.6]


def refused(*_):
    raise OSError(18, "Invalid cross-device link")


@pytest.fixture
def folder(tmp_path):
    """Six grey photos in two folders, two of one name, and their scores as another tool might write them."""
    names = ["a/0.png", "a/1.png", "a/2.png", "b/1.png", "b/4.png", "b/5 ü.png"]
    for number, name in enumerate(names):
        save_grey(tmp_path / "photos" / name, 40 * number)
    frame = pandas.DataFrame({"Image Name": names, "MOS": VALUES, "niqe": [3, 9, 4, 5, 6, 7], "camera": list("xyxyxy")})
    frame.to_csv(tmp_path / "scores.csv", index=False)
    return tmp_path


def photos(folder, by="MOS", **options):
    return Photos(read_any_scores(folder / "scores.csv"), by, root=folder / "photos", **options)


class TestPick:
    def test_command_prints_paths_and_nothing_else(self, folder, capfdbinary):
        command = ["rank", str(folder / "scores.csv"), "--root", str(folder / "photos"), "--worst", "2", "--paths"]
        assert main(command) == 0
        expected = [str(folder / "photos" / name) for name in ("a/1.png", "b/4.png")]
        assert capfdbinary.readouterr().out.decode().splitlines() == expected
        assert main([*command, "-0", "--by", "niqe"]) == 0  # which pyiqa knows as lower-better
        named = [str(folder / "photos" / name) for name in ("a/1.png", "b/5 ü.png")]
        assert capfdbinary.readouterr().out == b"".join(os.fsencode(name) + b"\0" for name in named)

    def test_a_table_of_picked_photos_is_printed(self, folder, capsys):
        assert main(["rank", str(folder / "scores.csv"), "--below", "0.3"]) == 0
        assert capsys.readouterr().out == "   MOS  path\n0.1000  a/1.png\n0.2000  b/4.png\n"
        assert main(["rank", str(folder / "scores.csv"), "--by", "niqe", "--below", "20%"]) == 0  # the worst fifth
        assert capsys.readouterr().out == "  niqe  path\n9.0000  a/1.png\n"


class TestTransfer:
    def test_photos_of_a_taken_name_get_numbers_and_come_back(self, folder):
        sources = [folder / "photos/a/1.png", folder / "photos/b/1.png"]
        before = [path.read_bytes() for path in sources]
        (target := folder / "bad").mkdir()
        (target / "1.png").write_bytes(b"mine")
        done, undo_list = transfer(map(str, sources), target, "move")
        assert [Path(path).name for path in done] == ["1-2.png", "1-3.png"]
        assert [Path(path).read_bytes() for path in done] == before and (target / "1.png").read_bytes() == b"mine"
        assert undo(undo_list) == (2, [])
        assert [path.read_bytes() for path in sources] == before
        assert [path.name for path in target.iterdir()] == ["1.png"]

    def test_undo_keeps_what_has_changed(self, folder):
        source = folder / "photos/a/1.png"
        (place,), moved = transfer([str(source)], folder / "moved", "move")
        source.write_bytes(b"another")
        back, left = undo(moved)
        assert back == 0 and "because another file is at" in left[0]
        assert source.read_bytes() == b"another" and Path(place).exists() and moved.exists()
        (copied,), copies = transfer([str(folder / "photos/a/0.png")], folder / "copied", "copy")
        Path(copied).write_bytes(b"edited")
        assert "not the same" in undo(copies)[1][0] and Path(copied).read_bytes() == b"edited"

    @pytest.mark.parametrize("action", ["copy", "move"])
    def test_a_full_disk_in_the_middle_tears_no_photo(self, folder, monkeypatch, action):
        """The list knows what was taken before, and no torn copy is left."""
        first, second = (folder / f"photos/a/{name}.png" for name in "01")

        def fail(*_):
            raise OSError(28, "No space left on device")

        transfer([str(first)], folder / "taken", action)
        monkeypatch.setattr("clipiqa_pyiqa.ranking.transfers.write_bytes", fail)
        monkeypatch.setattr("os.rename", fail)
        with pytest.raises(CLIPIQAError, match="No space left"):
            transfer([str(second)], folder / "taken", action)
        monkeypatch.undo()
        assert second.is_file() and not (folder / "taken/1.png").exists()
        lists = sorted((folder / "taken").glob("clipiqa-undo-*.jsonl"))
        assert sorted(undo(each) for each in lists) == [(0, []), (1, [])] and first.is_file()

    def test_a_move_to_another_file_system_goes_and_comes_back(self, folder, monkeypatch):
        source = folder / "photos/a/1.png"
        content = source.read_bytes()
        monkeypatch.setattr("os.rename", refused)
        (place,), undo_list = transfer([str(source)], folder / "moved", "move")
        assert Path(place).read_bytes() == content and not source.exists()
        assert undo(undo_list) == (1, []) and source.read_bytes() == content and not Path(place).exists()

    def test_a_source_that_cannot_be_emptied_leaves_no_copy(self, folder, monkeypatch):
        source, unlink = folder / "photos/a/1.png", os.unlink
        monkeypatch.setattr("os.rename", refused)
        monkeypatch.setattr("os.unlink", lambda path: refused() if str(path) == str(source) else unlink(path))
        with pytest.raises(CLIPIQAError, match="0 are there"):
            transfer([str(source)], folder / "out", "move")
        assert source.is_file() and not list((folder / "out").glob("*.png"))

    def test_the_command_moves_names_its_undo_list_and_moves_back(self, folder, capsys):
        command = ["rank", str(folder / "scores.csv"), "--root", str(folder / "photos"), "--below", "0.3"]
        assert main([*command, "--move-to", str(folder / "bad")]) == 0
        said = capsys.readouterr()
        undo_list = re.search(r"2 photos in .*bad; --undo '(.+)' puts them back", said.err)
        assert undo_list and said.out == "" and {path.name for path in folder.glob("bad/*.png")} == {"1.png", "4.png"}
        assert main([*command, "--copy-to", str(folder / "again")]) == 2
        assert "does not exist (and 1 more like it): nothing was done" in capsys.readouterr().err
        assert main(["rank", "--undo", undo_list[1]]) == 0 and (folder / "photos/b/4.png").is_file()


@pytest.fixture
def shards(tmp_path):
    """The names that results give to an image in a tar archive and to a row of a table."""
    for number in range(2):
        save_grey(tmp_path / f"{number}.png", 40 + 80 * number)
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for number in range(2):
            archive.add(tmp_path / f"{number}.png", f"in/{number}.png")
    rows = {"image": [(tmp_path / f"{number}.png").read_bytes() for number in range(2)]}
    pandas.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    return [f"{tmp_path}/s.tar::in/1.png", f"{tmp_path}/t.parquet::0"]


class TestShards:
    def test_copies_have_the_members_names(self, shards, tmp_path):
        done, undo_list = transfer(shards, tmp_path / "out", "copy")
        assert [Path(path).name for path in done] == ["1.png", "t-0.png"]
        assert Path(done[0]).read_bytes() == (tmp_path / "1.png").read_bytes()
        assert Path(done[1]).read_bytes() == (tmp_path / "0.png").read_bytes()
        assert undo(undo_list) == (2, []) and not list((tmp_path / "out").glob("*.png"))
        with pytest.raises(CLIPIQAError, match="can only be copied"):
            transfer(shards, tmp_path / "out", "move")
        with pytest.raises(CLIPIQAError, match=r"gone\.tar::1\.png' does not exist: nothing was done"):
            transfer([f"{tmp_path}/gone.tar::1.png"], tmp_path / "out", "copy")

    def test_a_page_shows_images_in_shards(self, shards, tmp_path):
        pandas.DataFrame({"path": [*shards, "gone.tar::2.png"], "quality": [0.5, 0.7, 0.1]}).to_csv(
            tmp_path / "scores.csv", index=False
        )
        page = write_browser(Photos(read_any_scores(tmp_path / "scores.csv"), "quality"), tmp_path / "page")
        data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)[1])  # type: ignore[index]
        assert data["links"][:2] == [f"thumbnails/{name}" for name in data["small"][:2]] and data["small"][2] == ""
        levels = [Image.open(tmp_path / "page" / link).getpixel((5, 5)) for link in data["links"][:2]]
        assert [round(level[0], -1) for level in levels] == [120, 40]


class TestPage:
    def test_the_page_holds_everything_and_thumbnails_are_made_once(self, folder):
        save_corrupt(folder / "photos/b/4.png")
        page = write_browser(photos(folder), folder / "page")
        data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)[1])  # type: ignore[index]
        assert data["scores"]["MOS"] == VALUES
        assert data["lowIsGood"] == ["niqe"] and "MOS: higher is better (by its name)." in page.read_text()
        assert data["links"][0] == "../photos/a/0.png" and data["links"][5] == "../photos/b/5%20%C3%BC.png"
        assert data["small"][4] == "" and all(data["small"][:4])
        small = folder / "page/thumbnails" / data["small"][0]
        assert Image.open(small).size == (48, 40)
        before = small.stat().st_mtime_ns
        write_browser(photos(folder), folder / "page")  # its own page is replaced
        assert small.stat().st_mtime_ns == before

    def test_markup_in_names_is_text(self, tmp_path):
        name = "<script>alert(1)<!--.png"
        save_grey(tmp_path / name, 9)
        (tmp_path / "s.csv").write_text(f'image,"</script><b>"\n{name},0.5\n')
        known = Photos(read_any_scores(tmp_path / "s.csv"), "</script><b>", root=tmp_path)
        page = write_browser(known, tmp_path / "page").read_text()
        assert page.count("<script") == 2 and "<b>alert" not in page and "&lt;/script&gt;" in page

    def test_photos_that_moved_are_found_below_root_and_a_foreign_page_stays(self, folder, capsys):
        command = ["rank", str(folder / "scores.csv"), "--page", str(folder / "page"), "--quiet"]
        assert main(command) == 2
        assert "none of 6 photos exists, such as 'a/0.png'" in capsys.readouterr().err
        assert main([*command, "--root", str(folder / "photos")]) == 0
        (folder / "page/browse.html").write_text("mine")
        assert main([*command, "--root", str(folder / "photos")]) == 2


class TestOnAPhone:
    @pytest.fixture
    def page(self, browser, folder):
        page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
        page.goto(write_browser(photos(folder), folder / "page").as_uri())
        page.locator(".cell").first.wait_for()
        return page

    def test_photos_are_in_order_and_those_without_a_score_last(self, page):
        assert "6 of 6 photos" in page.content()
        shown = page.locator(".cell label b").all_inner_texts()
        assert shown == ["0.1000", "0.2000", "0.4000", "0.6000", "0.8000", "–"]

    def test_the_head_leaves_room(self, page):
        page.locator(".cell input").first.check()
        assert page.locator("header").bounding_box()["height"] < 844 / 4

    def test_buttons_and_swipes_lead_from_photo_to_photo(self, page):
        page.locator(".open").first.click()
        page.locator("#pick").click()
        page.locator("#after").click()
        title = page.locator("#title")
        assert title.inner_text() == "b/4.png" and page.locator("#pick").inner_text() == "select"
        swipe = """([from, to]) => {
            const stage = document.getElementById("stage");
            const touch = (clientX) => new Touch({ identifier: 1, target: stage, clientX, clientY: 300 });
            stage.dispatchEvent(new TouchEvent("touchstart", { touches: [touch(from)] }));
            stage.dispatchEvent(new TouchEvent("touchend", { changedTouches: [touch(to)] }));
        }"""
        page.evaluate(swipe, [300, 100])
        assert title.inner_text() == "a/0.png"
        page.evaluate(swipe, [100, 300])
        assert title.inner_text() == "b/4.png"
        page.locator("#before").click()
        assert title.inner_text() == "a/1.png" and page.locator("#pick").inner_text() == "selected"

    def test_the_command_moves_what_is_selected(self, page, folder, monkeypatch):
        for number in (0, 3):  # a/1.png and b/5 ü.png
            page.locator(".cell input").nth(number).check()
        page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
        page.locator("#move").click()
        page.locator("#chosen", has_text="command copied").wait_for()
        monkeypatch.chdir(folder)
        assert main(shlex.split(page.evaluate("() => window.copied"))[1:]) == 0
        assert sorted(path.name for path in (folder / "selected").glob("*.png")) == ["1.png", "5 ü.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no PATH given"),
        (["{scores}", "--paths"], "no photo is picked"),
        (["{scores}", "--by", "MUS", "--worst", "1"], "no scores called 'MUS': did you mean 'MOS'"),
        (["{scores}", "--prompts", "quality"], "a score file holds scores"),
        (["{root}/photos", "--columns", "MOS"], "--columns and --root need a score file"),
        (["{root}/none.csv", "--worst", "1"], "cannot be read as csv: No such file"),
        (["--undo", "{scores}"], "is not a list of photos"),
        (["--undo", "{root}/none.jsonl"], "cannot be read"),
    ],
)
def test_bad_usage_is_refused(folder, options, message, capsys):
    given = [text.format(scores=folder / "scores.csv", root=folder) for text in options]
    assert main(["rank", *given]) == 2
    assert re.search(message, capsys.readouterr().err)
