"""``clipiqa gate`` for a job: its page, the worst images, and a margin to begin with."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from clipiqa_pyiqa import gate


def test_an_image_that_loses_much_is_named_and_can_fail_the_gate(clipiqa, runs):
    base = np.linspace(0.3, 0.7, 100)
    lost = np.zeros(100)
    lost[[7, 8, 9, 10]] = [0.137, 0.02, 0.03, 0.01]
    runs(q=(base, base - lost))
    for limit, code in (("0.2", 0), ("q=0.1", 1)):
        said = clipiqa(f"gate base.csv new.csv --margin 0.05 --worst-loss {limit}", code).out
        assert [line.strip() for line in said.splitlines()[1:4]] == ["7: -0.1370", "9: -0.0300", "8: -0.0200"]
    assert "q: worse" in said and "0.1370" in said.splitlines()[0]
    assert said.endswith("FAILED: q is worse by 0.14, above the worst loss of 0.1, for one image\n")
    said = clipiqa("gate base.csv new.csv --margin 0.001 --worst-loss 0.1", 1).out
    assert "for one image, and unclear on the whole (" in said.splitlines()[-1]
    clipiqa("gate base.csv new.csv --margin 0.05 --worst-loss 0.1 --page page", 1)
    assert "<td>0.1370 (limit: 0.1)</td>" in Path("page/gate.html").read_text()
    clipiqa("gate base.csv new.csv --worst-loss p=0.1", 2)
    clipiqa("gate base.csv new.csv --worst-loss 0.1 0.2", 2, "'0.1 0.2'")


def test_the_page_and_the_summary(clipiqa, folders, command):
    Image.new("RGB", (80, 64)).save(folders / "new/3.png")
    page = folders / "page"
    asked = f"{command} mini --page {page}"
    said = clipiqa(f"{asked} --format markdown", 1).out
    assert "| mini |" in said and "1 image newly flagged" in said and said.startswith("## FAILED")
    assert "simplejpeg" not in said and "max_side" not in said
    provenance = json.loads((folders / "gate/provenance.json").read_text())
    assert provenance["settings"]["max_side"] and provenance["settings"]["pillow"] and provenance["metrics"]["mini"]
    text = (page / "gate.html").read_text()
    assert "[95&nbsp;%, uncorrected]" in text
    assert text.count("data:image/jpeg") >= 8 and "://" not in text
    assert "3</bdi>: " in text
    assert any(note.startswith("FAILED: new compared with base: mini: ") for note in provenance["notes"])
    assert text.index("FAILED: 1 image newly flagged") < text.index("</table>") < text.index("<b>flag</b>: failed: ")
    clipiqa(asked, 2)
    clipiqa(f"{asked} --overwrite", 1)


def test_a_verdict_takes_labels_and_a_caption_as_other_results_do(runs, tmp_path):
    base = np.linspace(0.3, 0.7, 40)
    verdict = gate(*runs(q=(base, base)))
    assert "sharp" in verdict.table(labels={"q": "sharp"})
    assert "Two runs." in verdict.table("latex", caption="Two runs.")
    verdict.save(tmp_path / "gate", labels={"q": "sharp"})
    assert "q" in json.loads((tmp_path / "gate/gate.json").read_text())["columns"][0]["name"]


def test_the_page_shows_images_that_one_run_lacks(clipiqa, folders, command):
    (folders / "new/3.png").unlink()
    (folders / "base/5.png").unlink()
    clipiqa(f"{command} mini --page {folders / 'page'}", 1)
    text = (folders / "page/gate.html").read_text()
    for row, side in (("3", "new"), ("5", "base")):
        shown = text.partition(f"{row}</bdi>: ")[2].partition("<h3>")[0]
        assert shown.count("data:image/jpeg") == 1
        assert f"missing in this run</span><figcaption><b>{side}</b>" in shown
