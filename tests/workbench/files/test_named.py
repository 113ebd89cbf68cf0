"""``NAME=VALUE``: where a text is split."""

import pytest

from clipiqa_pyiqa.errors import CLIPIQAError, OptionError
from clipiqa_pyiqa.workbench.files.names_and_values import label_and_value, name_and_value, numbers_by_name
from clipiqa_pyiqa.workbench.files.specifications import parse_argument
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
