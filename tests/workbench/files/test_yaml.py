"""YAML of others: what is made to exhaust memory or the stack, and values that YAML's own constructors stumble over."""

import pytest
from assertions import refused, time_limit

from clipiqa_pyiqa.errors import ConfigError
from clipiqa_pyiqa.workbench.files.shipped import shipped_configs
from clipiqa_pyiqa.workbench.files.yaml import LARGEST_CONFIG, parse_yaml, read_mapping, read_yaml

pytestmark = pytest.mark.quick

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10))
HOSTILE = {  # name: a text
    "aliases": LAUGHS,
    "merged aliases": MERGES,
    "itself": "a: &a [*a]",
    "depth": "[" * 100_000,
    "digits": "seed: " + "9" * 5000,
    "date": "out: 2026-13-40",
    "tagged integer": "out: !!int x",
    "tagged boolean": "out: !!bool x",
    "tagged date": "out: !!timestamp x",
    "object": "out: !!python/object/apply:os.system [true]",
    "two documents": "a: 1\n---\na: 2",
    "control characters": "a: \x00",
}


@pytest.mark.slow
def test_hostile_yaml_is_refused_at_once():
    for name in HOSTILE:
        with time_limit(60), pytest.raises(ConfigError) as raised:
            parse_yaml(HOSTILE[name], "the file")
        assert len(str(raised.value)) < 400 and "\n" not in str(raised.value)


def test_ordinary_yaml_is_read_as_written():
    text = "base: {lr: 1.0e-3, on: true}\nlist: [a, 1e-6, null, 0x1f]"  # `on` is true in YAML 1.1
    assert parse_yaml(text, "") == {"base": {"lr": 1e-3, True: True}, "list": ["a", 1e-6, None, 31]}


def test_files_that_are_not_usable_are_refused_and_null_values_left_out(tmp_path):
    path = tmp_path / "c.yml"
    for content in (b"a: 1\n" + b"#" * LARGEST_CONFIG, b"a: \xff", b"a: 1\nb: 2\na: 3\n"):
        path.write_bytes(content)
        refused(read_mapping, path, ["a", "b"])
    path.write_text("a: 1\nb: c: d\n")
    assert "c.yml' is not usable YAML: line 2, column 5: mapping values are not" in refused(read_mapping, path, ["a"])
    path.write_bytes(b"a: \xff")
    assert "the character at position 3 cannot be read" in refused(read_mapping, path, ["a"])
    refused(read_mapping, "/dev/zero", ["a"])  # it has no end
    path.write_text("a: 1\nb:\n")
    assert read_mapping(path, ["a", "b"]) == {"a": 1}


def test_shipped_configurations_are_found_by_name(tmp_path, monkeypatch):
    names = shipped_configs()
    assert {"table1", "table2", "table5", "fig1", "fig3", "official", "pyiqa"} <= names.keys()
    assert read_yaml("table1") == read_yaml(names["table1"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table1").write_text("a: 1")
    assert read_yaml("table1") == {"a": 1}  # a file of that name wins
    for other in ("tabel1", "osediff", "table2.yml"):  # a protocol is no configuration of a command
        refused(read_yaml, other)
