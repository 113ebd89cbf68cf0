"""Commands that would do something else than what was meant: refused in a sentence that names what to do."""

from pathlib import Path

import pytest
from assertions import refused
from command_options import all_arguments
from photos import save_grey

from clipiqa_pyiqa import CLIPIQA, compare, score_paths
from clipiqa_pyiqa.workbench.commands.options.needs import NEEDS
from clipiqa_pyiqa.workbench.files.folders import make_folder
from clipiqa_pyiqa.workbench.opinions.score_table import read_score_table

pytestmark = pytest.mark.quick


@pytest.fixture
def said(clipiqa):
    """What a refused command says, beside s.csv."""
    Path("s.csv").write_text("path,score\na.png,1\nb.png,2\nc.png,3\n")
    return lambda command: clipiqa(command, 2).err


def test_a_folder_is_not_called_like_a_file(said, tmp_path):
    save_grey(tmp_path / "a.png", 9)
    for name in ("ranked.csv", "out.json"):
        for command in ("rank a.png", "gate s.csv s.csv"):
            assert "is not a folder" in said(f"{command} --out {name}") and not Path(name).exists()
    Path("of.csv").mkdir()
    assert make_folder("of.csv").is_dir()


def test_what_is_missing_is_said_to_be_missing(said):
    for command in ("gate s.csv missing", "gate missing.csv s.csv", "compare -m x=missing.csv -d s.csv"):
        line = said(command)
        assert "does not exist" in line and "damaged" not in line
    assert "--metrics" in said("gate s.csv s.csv --max-side 64")


def test_options_are_not_abbreviated_and_names_are_proposed(said):
    for command, named in {
        "rank s.csv --worst 1 --pag r3": "--page?",
        "rank p --wurst=3": "--worst?",
        "rank p --best x": "--best must",  # before a photo is looked for
        "scor s.csv": "'score'",
    }.items():
        line = said(command)
        assert named in line and line.count("\n") == 1


def test_options_that_would_have_no_effect(said, tmp_path, clipiqa):
    save_grey(tmp_path / "a.png", 9)
    files = {path.name for path in tmp_path.iterdir()}
    for command in ("score a.png -b mini", "compare -m mini -d s.csv", "map a.png -b mini", "radar a.png -b mini"):
        assert "--overwrite needs --out" in said(f"{command} --overwrite")
        assert "--out must be a path; got an empty text" in said(f"{command} --out ''")
    for command in ("rank s.csv", "gate s.csv s.csv", "table --methods a=. -m niqe"):
        assert "--overwrite needs --out" in said(f"{command} --overwrite")
    for more in ("", "--out x.csv", "--out x.csv --overwrite"):
        assert "--drop-vanished needs --resume" in said(f"score a.png -b mini --drop-vanished {more}")
    for metric in ("mini:prompts=", "=mini", " =mini"):
        assert metric.strip() in said(f"score a.png -m '{metric}'")
    assert {path.name for path in tmp_path.iterdir()} == files
    Path("t.csv").write_text(
        "path,score\n" + "".join(f"{name}.png,{number}\n" for number, name in enumerate("abcdefgh"))
    )
    clipiqa("gate t.csv t.csv --page page --overwrite", 0)  # which the page needs


def test_words_that_belong_to_no_option_are_named(said):
    for command in ("weights mini", "verify mini", "compare mini", "gate s.csv s.csv mini"):
        assert "unexpected: 'mini'; leave it out" in said(command)


def test_an_option_has_one_value(said, tmp_path):
    save_grey(tmp_path / "a.png", 9)
    for command, flag in {
        "demo --out a.png -o b.png": "-o",
        "score a.png --max-side 64 --max-side 65": "--max-side",
        "score a.png --exif --no-exif": "--no-exif",
        "rank s.csv --best 1 --best 2": "--best",
        "rank s.csv --lower-better --lower-better": "--lower-better",
    }.items():
        assert f"error: {flag} is given more than once: leave one out.\n" in said(command)
    assert "'unknown'" in said("score a.png -b mini -p quality -p unknown")  # a list may be given in parts


def test_an_empty_text_is_no_default(said, tmp_path):
    save_grey(tmp_path / "a.png", 9)
    assert "--template must be a text with one {}" in said("score a.png -b mini --template ''")
    assert "unknown backbone ''" in said("score a.png -b ''")
    assert "unknown prompt ''" in said("score a.png -b mini -p quality ''")


def test_options_of_shards_and_videos_name_what_they_need(said, tmp_path):
    save_grey(tmp_path / "a.png", 9)
    assert "--image-column is for Parquet files" in said("score a.png -b mini --image-column photo")
    assert "must be seconds apart" in said("score a.png -b mini --every 1h")


def test_a_current_folder_that_is_gone_is_named(said, tmp_path, monkeypatch):
    save_grey(tmp_path / "a.png", 9)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "the current folder" in said(f"score {tmp_path}/a.png -b mini --out s.csv")


def test_fractions_are_not_rounded(said, tmp_path):
    save_grey(tmp_path / "a.png", 9)
    assert "--max-side must be a whole number; got '64.5'" in said("score a.png -b mini --max-side 64.5")
    Path("options.yml").write_text("max_side: 64.5\n")
    assert "must be a whole number; got '64.5'" in said("score a.png -b mini -c options.yml")


def test_values_in_a_file_of_options_are_of_the_kind_that_the_option_takes(said):
    for line, expected in {
        "range: 5": "must be a list of 2 values; got 5",
        "range: [1, 2, 3]": "must be a list of 2 values; got [1, 2, 3]",
        "columns: []": "must be a list of values; got []",
        "columns: [a, null]": "must be a list of values; got ['a', None]",
        "seed: [1, 2]": "must be a value; got [1, 2]",
        "skip_missing: 1": "must be true or false; got 1",
    }.items():
        Path("options.yml").write_text(f"{line}\n")
        assert f"in 'options.yml' {expected}" in said("fit s.csv --out h.safetensors -b mini -c options.yml")


def test_a_ranking_of_scores_takes_no_options_of_metrics(said):
    for more in ("-b RN50", "--template 'A {}.'", "--precision bf16"):
        assert "need images" in said(f"rank s.csv {more}")
    assert "-0 needs --paths" in said("rank s.csv -0")
    assert "no scores called ''" in said("rank s.csv --by ''")


def test_shares_of_held_out_images_lie_between_0_and_1(said):
    for command in ("train s.csv -b mini --out run", "fit s.csv -b mini --out head.safetensors"):
        assert "--val-fraction must be between 0 and 1" in said(f"{command} --val-fraction=-0.1")


def test_options_that_would_have_no_effect_in_python(tmp_path):
    for options in ({"overwrite": True}, {"drop_vanished": True}, {"out": ""}):
        refused(score_paths, CLIPIQA(backbone="mini"), tmp_path, **options)
    refused(compare, "niqe", "s.csv", overwrite=True)


def test_bounds_that_exclude_each_other(said, clipiqa):
    for bounds in ("--above 3 --below 2", "--above 1 --below 2 --lower-better"):
        assert "leave no image" in said(f"rank s.csv --paths {bounds}")
    assert clipiqa("rank s.csv --above 9 --paths", 0, "no photo").out == ""
    refused(read_score_table, "s.csv", score_range=(5, 1))


def test_score_files_are_ranked_one_at_a_time(said):
    for paths in ("s.csv s.csv", "s.csv .", ". s.csv"):  # before weights are looked for
        assert "'s.csv' is a score file, which is ranked alone" in said(f"rank {paths}")


def test_a_ranking_of_scores_takes_no_options_of_reading(said):
    for more in ("--max-side 64", "--no-exif", "--damaged keep", "--pictures svg --out ranked"):
        assert "need images" in said(f"rank s.csv {more}")


def test_a_column_is_named_by_the_options_of_the_command(said):
    assert "say which with --columns" in said("rank s.csv --columns image score")
    assert "say which with --key" in said("gate s.csv s.csv --key image")
    assert "say which with `key`" in said("compare -m x=s.csv:key=image -d s.csv")
    assert "--margin names 'q'" in said("gate s.csv s.csv --margin q=1")
    assert "--worst-loss must be above 0" in said("gate s.csv s.csv --worst-loss inf")
    assert "--above and --below leave no image" in said("rank s.csv --above 3 --below 2")


def test_a_suggested_margin_takes_no_limits(said):
    for more in ("--margin 0.1", "--worst-loss 0.1", "--unclear warn", "--format markdown"):
        assert "--suggest-margin gives no verdict" in said(f"gate s.csv s.csv --suggest-margin {more}")


def test_options_of_clipiqa_need_a_clipiqa(said, tmp_path):
    save_grey(tmp_path / "a.png", 9)
    for command in ("compare -d s.csv", "table --methods a=.", "score a.png"):
        line = said(f"{command} -m entropy -b mini --precision fp32")
        assert "only a CLIP-IQA takes --backbone, --precision, and no metric in --metrics is one" in line
        assert "--template words the pairs of --prompts" in said(f"{command} -m entropy --template 'A {{}}.'")


def test_an_option_without_what_it_needs_is_refused(said, tmp_path):
    save_grey(tmp_path / "a.png", 9)
    compared = "compare -m x=s.csv -d s.csv"
    methods = "table --methods a=. -m niqe"
    for command, needed in {
        f"{compared} --fit-parameters 5": "--fit-parameters needs --plcc-fit: add it, or leave --fit-parameters out.",
        f"{compared} --caption Scores": "--caption needs --out or --format latex",
        f"{compared} --caption Scores --format csv": "--caption needs --out or --format latex",
        f"{methods} --only niqe": "--only needs --protocol",
        f"{methods} --value k=2": "--value needs --protocol",
        f"{methods} --latex-label t": "--latex-label needs --out or --format latex",
        "score a.png -b mini --processes 2": "--processes needs --metrics",
        "radar a.png -b mini --processes 2": "--processes needs --metrics",
        "map a.png -b mini --processes 2": "Unknown option: --processes",
        "score a.png -b mini --keep caption": "--keep needs --out",
        "radar a.png -b mini --pictures svg": "--pictures needs --out",
        "map a.png -b mini --pictures svg": "--pictures needs --out",
        "score a.png -b mini --cpus-per-actor 2": "--cpus-per-actor needs --engine ray",
    }.items():
        assert needed in said(command)
    Path("no.yml").write_text("plcc_fit: false\nfit_parameters: 5\n")
    assert "--fit-parameters needs --plcc-fit" in said(f"{compared} -c no.yml")


def test_hints_have_the_names_that_may_be_typed(said, tmp_path):
    save_grey(tmp_path / "photos/a.png", 9)
    for command, hint in {
        "table --methods a=photos -m entropy --label nosuch=x": "known names are a, entropy, method,",
        "score photos -m piqe:foo=1": "unknown key 'foo' in the options of 'piqe:foo=1': there are none.",
        "score photos -m niqe:foo=1": "known names are channels, test_y_channel,",
        "fit s.csv --columns path score --out h.safetensors -b mini --group nosuch": "say which with --group",
        "compare -m mini -d s.csv --within nosuch": "say which with --within",
    }.items():
        assert hint in said(command)


def test_numbers_are_finite(said):
    for command in (
        "fit s.csv --out h.safetensors --range -inf inf",
        "map photos --scale nan",
        "train s.csv --out o --lr 1e99",
    ):
        assert "must be a number of at most ±1,000,000,000; got" in said(command)


def test_a_template_needs_a_clip_iqa(said, tmp_path):
    save_grey(tmp_path / "a.png", 9)
    for command in ("rank a.png", "sweep a.png --steps 3", "radar a.png"):
        line = said(f"{command} -m entropy --template 'A photo of {{}}.'")
        assert "--template words the prompts of a CLIP-IQA, and no metric in --metrics is one" in line


def test_the_folder_of_pyiqas_data_sets_needs_one(said):
    assert "--data-root is for data sets of pyiqa" in said("compare -m mini -d s.csv --data-root .")


def test_what_options_need_is_an_option():
    flags = {argument.field_info.name for arguments in all_arguments().values() for argument in arguments}
    assert NEEDS.keys() | {option for needed in NEEDS.values() for option in needed} <= flags


def test_options_of_verdicts_and_of_learning_name_what_they_need(said):
    assert "--unclear needs --margin" in said("gate s.csv s.csv --unclear warn")
    assert "--margin must be NUMBER or NAME=NUMBER" in said("gate s.csv s.csv --margin =0.1")
    for number in range(10):
        save_grey(Path(f"{number}.png"), number)
    Path("rated.csv").write_text("path,score\n" + "".join(f"{number}.png,{number}\n" for number in range(10)))
    assert "--crops needs --crop" in said("train rated.csv -b mini --out run --crops 3 --val-fraction 0.4")
    for command in ("train s.csv -b mini --out run", "fit s.csv -b mini --out head.safetensors"):
        assert "--data-root is for data sets of pyiqa, but 's.csv'" in said(f"{command} --data-root sets")


def test_columns_that_other_marks_separate_are_named(said):
    for mark in (";", "\t"):
        Path("other.csv").write_text(f"image{mark}mos\na.png{mark}0,5\n")
        for command in ("rank other.csv", "gate other.csv s.csv", "fit other.csv --out head.safetensors -b mini"):
            assert f"separated by {mark!r}: separate them by commas" in said(command)


def test_numbers_with_commas_or_signs_of_percent_are_named(said, clipiqa):
    for cell in ('"0,5"', '"1,234"', "10%"):
        Path("n.csv").write_text(f"image,sharp,scene\na.png,{cell},x\nb.png,{cell},y\n")
        line = said("rank n.csv")
        assert "the column 'sharp' holds no number" in line and cell.strip('"') in line and "1234.5" in line
        assert "'sharp' holds no number" in said("rank n.csv --columns image sharp")
    Path("n.csv").write_text("image,score\na.png,1_0\n")
    assert "the column 'score' holds no number ('1_0')" in said("rank n.csv")
    Path("n.csv").write_text("image,mos,sharp,scene\na.png,1,9%,x\nb.png,2,8%,y\n")
    clipiqa("rank n.csv", 0, "left out: the column 'sharp' holds no number ('9%', '8%')")
