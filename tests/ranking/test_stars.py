"""Stars in sidecars: which file, which bytes, and the way back."""

import shutil
import subprocess
from pathlib import Path

import pytest
from photos import save_grey, write_scores
from PIL import Image

from clipiqa_pyiqa.datasets.score_table import rated_photos
from clipiqa_pyiqa.files.xmp import NEW, XMPError, find_rating

RDF, XMP = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://ns.adobe.com/xap/1.0/"


def packet(description):
    """A packet with what others write, in an order and with spaces that no library would keep."""
    return (
        '\ufeff<?xpacket begin="" id="W5M0"?>\r\n<!-- <a> ü -->\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<r:RDF xmlns:r="{RDF}" xmlns:xap="{XMP}" xmlns:dc="http://purl.org/dc/elements/1.1/">\n  {description}\n'
        '</r:RDF></x:xmpmeta>   \n\n<?xpacket end="w"?>'
    ).encode()


INSIDE = "<dc:subject><r:Bag><r:li>a &gt; b</r:li></r:Bag></dc:subject>"
FORMS = [
    f"<r:Description  dc:format = 'image/>jpeg'  xap:Rating='0' >{INSIDE}</r:Description>",
    f'<r:Description xap:RatingPercent="50">{INSIDE}<xap:Rating>0</xap:Rating></r:Description>',
    f"<r:Description><xap:Rating />{INSIDE}</r:Description>",
    f'<r:Description><o:Rating xmlns:o="{XMP}">\n0</o:Rating></r:Description>',
    f"<r:Description >{INSIDE}</r:Description>",
    '<r:Description xmlns:xmp="urn:other" xmp:Rating="5"/>',
    '<r:Description/><r:Description xap:Rating="0"><dc:x><r:Description xap:Rating="5"/></dc:x></r:Description>',
]


@pytest.fixture
def folder(tmp_path):
    """Ten grey photos, and scores in the order of their names."""
    for number in range(10):
        save_grey(tmp_path / f"photos/IMG_{number}.JPG", 20 * number)
    write_scores(tmp_path / "scores.csv", [f"photos/IMG_{number}.JPG" for number in range(10)])
    return tmp_path


@pytest.fixture
def give(clipiqa, folder):
    return lambda more="", code=0, *said: clipiqa(f"rank scores.csv --root {folder} --stars {more}", code, *said)


def stars(folder):
    found = [folder / f"photos/IMG_{number}.JPG.xmp" for number in range(10)]
    return [find_rating(path.read_bytes()).stars if path.exists() else 0 for path in found]


def test_one_to_five_by_quantile_and_back(give, clipiqa, folder):
    give()
    assert stars(folder) == [1, 2, 2, 3, 3, 3, 3, 4, 4, 5]
    clipiqa(f"rank --undo {folder}/photos", 0)
    assert len(list((folder / "photos").iterdir())) == 10
    give("--star-shares 50,0,0,0,50")
    assert stars(folder) == [1] * 5 + [5] * 5


def test_all_other_bytes_stay():
    for form in FORMS:
        before = packet(form)
        rating = find_rating(before)
        after, (start, end) = rating.changed(before, "4"), rating.place
        assert find_rating(after).stars == 4
        assert after.startswith(before[:start]) and after.endswith(before[end:])
        assert end - start <= len("<xap:Rating />")
        assert find_rating(find_rating(after).changed(after, None)).text is None


@pytest.mark.parametrize("tool", ["exiftool", "exiv2"])
@pytest.mark.parametrize("more", ["/>", ' xmp:Rating="0"/>', "><xmp:Rating>0</xmp:Rating></rdf:Description>"])
def test_other_programs_read_the_stars(tmp_path, more, tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    description = f'<rdf:Description rdf:about="" xmlns:xmp="{XMP}"{more}'.encode()
    before = NEW.replace(b'<rdf:Description rdf:about=""/>', description)
    (sidecar := tmp_path / "a.xmp").write_bytes(find_rating(before).changed(before, "4"))
    words = ["-XMP-xmp:Rating", "-s3"] if tool == "exiftool" else ["-K", "Xmp.xmp.Rating", "-Pv"]
    read = subprocess.run([tool, *words, sidecar], capture_output=True, text=True, check=True)
    assert read.stdout.split() == ["4"]


@pytest.mark.parametrize(
    "content, why",
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + packet("<r:Description/>")[3:], "DOCTYPE"),
        (b'<?xml version="1.0" encoding="latin-1"?><a>\xe9</a>', "not in UTF-8"),
        (b'<?xml version="1.0" encoding="latin-1"?><a/>', "latin-1"),
        (b"<a>", "damaged"),
        (packet('<r:Description xap:Rating="1"><xap:Rating>2</xap:Rating></r:Description>'), "two ratings"),
        (packet("<r:Description><xap:Rating><r:value>2</r:value></xap:Rating></r:Description>"), "not changed"),
        (packet(""), "no description"),
    ],
)
def test_a_sidecar_that_is_not_understood_is_left_alone(give, folder, content, why):
    with pytest.raises(XMPError, match=why):
        find_rating(content)
    (sidecar := folder / "photos/IMG_3.xmp").write_bytes(content)
    give("", 1, "IMG_3.xmp", "9 photos given")
    assert sidecar.read_bytes() == content


def test_which_sidecar_is_written(give, folder):
    place = folder / "photos"
    for name in ("IMG_0.jpg.XMP", "IMG_0.xmp", "IMG_1.XMP", "IMG_2.xmp", "IMG_4.JPG.xmp"):
        (place / name).write_bytes(packet("<r:Description/>"))
    for name in ("IMG_2.png", "img_4.jpg"):
        save_grey(place / name, 9)
        (folder / "scores.csv").write_text((folder / "scores.csv").read_text() + f"photos/{name},7\n")
    give()
    sidecars = (path for path in place.iterdir() if path.suffix.lower() == ".xmp")
    rated = {path.name for path in sidecars if b":Rating=" in path.read_bytes()}
    assert {"IMG_0.jpg.XMP", "IMG_1.XMP", "IMG_2.JPG.xmp", "IMG_2.png.xmp", "IMG_4.JPG.xmp", "img_4.jpg.xmp"} <= rated
    assert not {"IMG_0.xmp", "IMG_2.xmp", "IMG_1.JPG.xmp"} & rated


def test_stars_that_people_gave_stay(give, folder):
    for number, rating in enumerate(("5", "-1", "0", "1")):
        sidecar = folder / f"photos/IMG_{number}.JPG.xmp"
        sidecar.write_bytes(packet(f'<r:Description xap:Rating="{rating}"/>'))
    own = Image.new("RGB", (48, 40))
    own.save(folder / "photos/IMG_4.JPG", xmp=packet('<r:Description xap:Rating="2"/>'))
    give()
    assert stars(folder) == [5, -1, 2, 1, 0, 3, 3, 4, 4, 5]
    give("--overwrite")
    assert stars(folder) == [1, 2, 2, 3, 3, 3, 3, 4, 4, 5]


def test_undo_restores_only_the_property_where_others_wrote(give, clipiqa, folder):
    before = packet('<r:Description xap:Rating="0"/>')
    for number in (0, 1, 2):
        (folder / f"photos/IMG_{number}.xmp").write_bytes(before)
    give()
    edited = (folder / "photos/IMG_1.xmp", folder / "photos/IMG_5.JPG.xmp")
    for path in edited:  # others add a comment
        path.write_bytes(path.read_bytes() + b"<!-- mine -->")
    rated = folder / "photos/IMG_2.xmp"  # others give stars
    rated.write_bytes(rated.read_bytes().replace(b'Rating="2"', b'Rating="4"'))
    clipiqa(f"rank --undo {folder}/photos", 0, "9 files", "1 photo")
    assert (folder / "photos/IMG_0.xmp").read_bytes() == before
    assert edited[0].read_bytes() == before + b"<!-- mine -->"
    assert find_rating(edited[1].read_bytes()).text is None and edited[1].read_bytes().endswith(b"<!-- mine -->")
    assert b'Rating="4"' in rated.read_bytes() and not (folder / "photos/IMG_6.JPG.xmp").exists()


def test_a_sidecar_beats_the_photo_and_no_stars_are_no_rating(folder):
    for number in range(3):
        own = Image.effect_noise((48, 40), 30).convert("RGB")
        own.save(folder / f"photos/IMG_{number}.JPG", xmp=packet('<r:Description xap:Rating="2"/>'))
    (folder / "photos/IMG_1.JPG.xmp").write_bytes(packet('<r:Description xap:Rating="5"/>'))
    (folder / "photos/IMG_2.JPG.xmp").write_bytes(packet('<r:Description xap:Rating="0"/>'))
    (folder / "photos/IMG_3.JPG.xmp").write_bytes(packet('<r:Description xap:Rating="-1"/>'))
    found = {Path(path).name: stars for path, stars in rated_photos(folder / "photos").to_numpy()}
    assert found == {"IMG_0.JPG": 2, "IMG_1.JPG": 5}
