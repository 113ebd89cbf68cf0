"""Heads, rows and journals that are well-formed but not as clipiqa writes them: a sentence, never a traceback."""

import copy
import hashlib
import json
import shutil
import zlib
from dataclasses import dataclass
from functools import partial

import pandas
import pyarrow
import pytest
from assertions import refused
from photos import save_grey
from pyarrow import parquet

from clipiqa_pyiqa import CLIPIQA, gate, score_paths
from clipiqa_pyiqa.files import hash_file
from clipiqa_pyiqa.workbench.learning.stored_features import read_or_encode_features
from clipiqa_pyiqa.workbench.metrics.description import Takes
from clipiqa_pyiqa.workbench.metrics.parsing import parse_metrics
from clipiqa_pyiqa.workbench.results.parquet_file import PARQUET_KEY
from clipiqa_pyiqa.workbench.results.score_files import read_scores

OPTIONS = {"device": "cpu", "workers": 1}
DEEP = "[" * 100_000 + "]" * 100_000
TOO_DEEP = json.loads("[" * 400 + "]" * 400)  # Python reads it, but might fail to write it
REMOVED = object()
HEADS = [  # place in the head, what is put there, and what the sentence names
    ("columns", REMOVED, "'columns'"),
    ("columns", [], "'columns'"),
    ("columns entropy", 5, "'entropy'"),
    ("columns entropy range", [0], "range"),
    ("columns entropy range", [0, "8"], "range"),
    ("columns entropy range", [0, 10**400], "range"),
    ("columns entropy lower_better", "no", "lower_better"),
    ("columns entropy files", "x", "files"),
    ("columns entropy learned", {"sha256": "0"}, "learned"),
    ("columns entropy head", {"sha256": "0", "method": "m", "fit_on": "f", "rated_photos": 3}, "score_range"),
    ("columns entropy questions", [[1]], "questions"),
    ("columns entropy options", TOO_DEEP, "too deeply"),
    ("reading", "x", "'reading'"),
    ("reading decoders", [1], "decoders"),
    ("reading versions", {"torch": 2}, "versions"),
    ("reading keep", "caption", "keep"),
    ("joined", {"mos": 3}, "'joined'"),
]
ROWS = [  # column, what is put there, and what the sentence names
    ("path", REMOVED, "lacks 'path'"),
    ("path", ["a"], "the path ['a']"),
    ("stamp", REMOVED, "lacks 'stamp'"),
    ("stamp", 5, "the stamp 5"),
    ("kind", REMOVED, "lacks 'kind'"),
    ("kind", "nonsense", "'nonsense'"),
    ("kind", ["damaged"], "the kind ['damaged']"),
    ("error", {"a": 1}, "the error {'a': 1}"),
    ("width", REMOVED, "lacks 'width'"),
    ("width", [1], "the width [1]"),
    ("entropy", "high", "the entropy 'high'"),
    ("entropy", [1.5], "the entropy [1.5]"),
    ("more", TOO_DEEP, "too deeply"),
]
READERS = {
    "s.csv": pandas.read_csv,
    "s.jsonl": partial(pandas.read_json, lines=True),
    "s.parquet": pandas.read_parquet,
}


class Mean:
    lower_better = False

    def __call__(self, x):
        return x.mean()


def changed(record, place, value):
    record = copy.deepcopy(record)
    *way, last = place.split(" ")
    part = record
    for key in way:
        part = part[key]
    if value is REMOVED:
        del part[last]
    else:
        part[last] = value
    return record


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        save_grey(tmp_path / f"ph/{number}.png", 40 * number + 9)
    return tmp_path


def score(out, **options):
    with score_paths(["entropy"], "ph", out=out, **OPTIONS, **options) as run:
        run.run()
        return run.frame()


@dataclass
class Written:
    """A result file whose head or rows are written as by someone who keeps hashes and checks right."""

    name: str

    def header(self):
        if self.name.endswith(".parquet"):
            header = json.loads(parquet.read_metadata(self.name).metadata[PARQUET_KEY])
            return {key: part for key, part in header.items() if key != "check"}
        with open(f"{self.name}.provenance.json", encoding="utf-8") as file:
            return json.load(file)

    def write_header(self, header, text=""):
        if not self.name.endswith(".parquet"):
            with open(f"{self.name}.provenance.json", "w", encoding="utf-8") as file:
                file.write(text or json.dumps(header))
            return
        rows = parquet.read_table(self.name).replace_schema_metadata(None)
        check = hashlib.sha256(f"{json.dumps(header, sort_keys=True)}{rows.schema}".encode()).hexdigest()
        content = text or json.dumps({**header, "check": check})
        parquet.write_table(rows.replace_schema_metadata({PARQUET_KEY: content.encode()}), self.name)

    def write_rows(self, frame):
        header = self.header()
        if self.name.endswith(".csv"):
            frame.to_csv(self.name, index=False)
        elif self.name.endswith(".jsonl"):
            frame.to_json(self.name, orient="records", lines=True)
        else:
            parquet.write_table(pyarrow.Table.from_pandas(frame, preserve_index=False), self.name)
        self.write_header({**header, "sha256": hash_file(self.name)})

    def refusals(self):
        shutil.copy(self.name, f"other{self.name}")
        yield refused(score, self.name, resume=True)
        yield refused(read_scores, self.name)
        yield refused(gate, self.name, "good.csv")
        yield refused(parse_metrics, f"x={self.name}:column=entropy", also=(Takes.NAME,))


@pytest.mark.parametrize("name", READERS)
def test_a_head_with_a_wrong_field_is_refused_with_its_name(photos, name):
    score("good.csv")
    score(name)
    written = Written(name)
    header = written.header()
    for place, value, noun in HEADS:
        written.write_header(changed(header, place, value))
        assert all(noun in said for said in written.refusals()), place
    for text in ("5", "[]", DEEP):
        written.write_header({}, text)
        assert all(name in said for said in written.refusals())
    written.write_header(header)
    assert score(name, resume=True)["entropy"].notna().all()


@pytest.mark.quick
@pytest.mark.parametrize("name", READERS)
def test_a_file_without_a_needed_column_or_with_another_type_is_not_continued(photos, name):
    score(name)
    written = Written(name)
    frame = READERS[name](name)
    for column in ("path", "width", "kind", "error", "stamp"):
        written.write_rows(frame.drop(columns=column))
        assert f"lacks {column!r}" in refused(score, name, resume=True)
    for column, value in {"kind": "nonsense", "entropy": "high"}.items():
        written.write_rows(frame.assign(**{column: value}))
        assert repr(value) in refused(score, name, resume=True)


def test_lines_that_are_no_rows_are_refused_with_what_is_wrong(photos):
    score("s.jsonl")
    written = Written("s.jsonl")
    path = photos / "s.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]

    def write(*lines):
        path.write_text("\n".join([*lines, ""]))
        written.write_header({**written.header(), "sha256": hash_file(path)})

    for column, value, noun in ROWS:
        write(json.dumps(changed(rows[0], column, value)), json.dumps(rows[1]))
        assert noun in refused(score, "s.jsonl", resume=True)
    write(f'{{"path": {DEEP}}}')
    assert "too deeply" in refused(score, "s.jsonl", resume=True)
    assert "too deeply" in refused(read_scores, "s.jsonl")


def journal_line(text):
    return b'["%08x", %s]\n' % (zlib.crc32(text.encode()), text.encode())


def test_lines_that_hold_no_feature_are_encoded_again(photos):
    net = CLIPIQA(backbone="mini")
    paths = ["ph/0.png"]
    store = photos / "store"
    features = read_or_encode_features(net, store, paths)
    for text in ("{}", '{"a": "b", "c": "d"}', '{"a": 5}', '{"a": "x"}', "[]", DEEP):
        for journal in store.rglob("*.jsonl"):
            journal.write_bytes(journal_line(text))
        assert read_or_encode_features(net, store, paths).equal(features)


@pytest.mark.parametrize("score_range", [5, (0,), (0, 1, 2), ("low", "high"), {"low": 0}])
def test_the_range_of_an_object_is_two_numbers(score_range):
    metric = Mean()
    metric.score_range = score_range
    assert "score_range of metric 'Mean'" in refused(parse_metrics, [metric])


def test_a_direction_in_words_is_refused():
    metric = Mean()
    metric.lower_better = "False"
    assert "lower_better of metric 'Mean'" in refused(parse_metrics, [metric])


@pytest.mark.parametrize(
    "score_range, expected",
    [(None, [None, None]), ((0, None), [0, None]), ((0.5, 1e-7), [0.5, 1e-7]), ("0, ~1", [0, None])],
)
def test_open_ends_and_texts_are_ranges(score_range, expected):
    metric = Mean()
    metric.score_range = score_range
    assert parse_metrics([metric])[0].columns[0].record["range"] == expected
