"""YAML of others: what is made to exhaust memory or the stack, and values that YAML's own constructors stumble over."""

import time

import pytest
from hostile_yaml import HOSTILE

from clipiqa_pyiqa.errors import ConfigError
from clipiqa_pyiqa.files.yaml import MOST_BYTES, parse_yaml, read_mapping, read_yaml, shipped

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_refused_at_once(text, message):
    start = time.monotonic()
    with pytest.raises(ConfigError, match=message) as raised:
        parse_yaml(text, "the file")
    assert len(str(raised.value)) < 400 and "\n" not in str(raised.value)
    assert time.monotonic() - start < 60  # at once, on however slow a machine: unbounded, it would take for ever


def test_ordinary_yaml_is_read_as_written():
    text = "base: {lr: 1.0e-3, on: true}\nlist: [a, 1e-6, null, 0x1f]"  # `on` is true in YAML 1.1
    assert parse_yaml(text, "") == {"base": {"lr": 1e-3, True: True}, "list": ["a", 1e-6, None, 31]}


@pytest.mark.parametrize("content", [b"#" * (MOST_BYTES + 1), b"a: \xff", b"a: 1\nb: 2\na: 3\n"])
def test_files_that_are_not_usable_are_refused(tmp_path, content):
    (tmp_path / "c.yml").write_bytes(content)
    with pytest.raises(ConfigError):
        read_mapping(tmp_path / "c.yml", ["a", "b"])


def test_an_endless_file_is_refused():
    with pytest.raises(ConfigError):
        read_mapping("/dev/zero", ["a"])


def test_null_values_are_left_out(tmp_path):
    (tmp_path / "c.yml").write_text("a: 1\nb:\n")
    assert read_mapping(tmp_path / "c.yml", ["a", "b"]) == {"a": 1}


def test_shipped_configurations_are_found_by_name(tmp_path, monkeypatch):
    names = shipped()
    assert {"table1", "table2", "table5", "fig1", "fig3", "official", "pyiqa"} <= names.keys()
    assert read_yaml("table1") == read_yaml(names["table1"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table1").write_text("a: 1")
    assert read_yaml("table1") == {"a": 1}  # a file of that name wins
    with pytest.raises(ConfigError, match="table1"):
        read_yaml("tabel1")
    with pytest.raises(ConfigError):  # a protocol is no configuration of a command
        read_yaml("osediff")
    with pytest.raises(ConfigError, match="No such file"):
        read_yaml("table2.yml")
