"""``NAME=VALUE``: where a text is split."""

import pytest

from clipiqa_pyiqa.errors import CLIPIQAError, OptionError
from clipiqa_pyiqa.workbench.files.csv_columns import find_column
from clipiqa_pyiqa.workbench.files.named_files import check_images_exist
from clipiqa_pyiqa.workbench.files.names_and_values import label_and_value, name_and_value, numbers_by_name
from clipiqa_pyiqa.workbench.files.specifications import check_kinds, parse_argument
from clipiqa_pyiqa.workbench.table.method_images import parse_methods

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("text", "at_first", "at_last"),
    [
        ("a=b", ("a", "b"), ("a", "b")),
        ("a=b=c", ("a", "b=c"), ("a=b", "c")),
        ("a", ("a", ""), (None, "a")),
        ("=a", ("", "a"), ("", "a")),
        (" a =b", (" a ", "b"), ("a", "b")),
    ],
)
def test_a_value_or_a_label_may_hold_an_equals_sign(text, at_first, at_last):
    assert name_and_value(text) == at_first
    assert label_and_value(text) == at_last


@pytest.mark.parametrize(
    ("kind", "words"),
    [(int, "must be a whole number;"), (float | None, "must be a number or nothing;"), (str, "must be a text;")],
)
def test_a_value_of_another_kind_is_refused_in_words(kind, words):
    with pytest.raises(CLIPIQAError, match=words):
        check_kinds({"size": [1]}, {"size": kind}, "the data set")


@pytest.mark.parametrize("number", [-10, -1, 2])
def test_a_column_number_that_the_file_lacks_is_refused(number):
    with pytest.raises(CLIPIQAError, match=f"has no column called '{number}'"):
        find_column("a.csv", ["path", "mos"], number, "mos")


def test_missing_images_are_counted_once(tmp_path):
    with pytest.raises(CLIPIQAError, match="1 of 1 image named"):
        check_images_exist(tmp_path / "a.csv", ["gone.png", "gone.png"])


def test_a_methods_folder_may_hold_an_equals_sign():
    assert parse_methods(["ours=out/scale=4"]) == {"ours": "out/scale=4"}
    assert parse_methods({"ours=4": "out"}) == {"ours=4": "out"}
    for text in ("out", "=out", "ours="):
        with pytest.raises(CLIPIQAError, match="a method must be NAME=FOLDER"):
            parse_methods([text])


def test_a_column_with_a_number_may_hold_an_equals_sign():
    assert numbers_by_name("margin", ["0.1", "mini:seed=3=0.5"]) == {"": 0.1, "mini:seed=3": 0.5}
    for texts in (["a=b"], ["0.1", "0.2"], ["a="]):
        with pytest.raises(OptionError, match="must be NUMBER or NAME=NUMBER"):
            numbers_by_name("margin", texts)


def test_a_metrics_label_is_told_from_its_options():
    assert parse_argument("a = mini:prompts=good").label == "a"
    assert parse_argument("mini:prompts=good").label == ""
    assert parse_argument("mini:prompts=a=b").options == {"prompts": "a=b"}
    with pytest.raises(CLIPIQAError, match="has an empty label"):
        parse_argument("=mini")
