"""YAML of others: what is made to exhaust memory or the stack, and values that YAML's own constructors stumble over."""

import pytest
from hostile_yaml import HOSTILE
from time_limit import time_limit

from clipiqa_pyiqa.errors import ConfigError
from clipiqa_pyiqa.files.yaml import MOST_BYTES, parse_yaml, read_mapping, read_yaml, shipped

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_at_once(name):
    with time_limit(60), pytest.raises(ConfigError) as raised:
        parse_yaml(HOSTILE[name], "the file")
    assert len(str(raised.value)) < 400 and "\n" not in str(raised.value)


def test_ordinary_yaml_is_read_as_written():
    text = "base: {lr: 1.0e-3, on: true}\nlist: [a, 1e-6, null, 0x1f]"  # `on` is true in YAML 1.1
    assert parse_yaml(text, "") == {"base": {"lr": 1e-3, True: True}, "list": ["a", 1e-6, None, 31]}


def test_files_that_are_not_usable_are_refused_and_null_values_left_out(tmp_path):
    path = tmp_path / "c.yml"
    for content in (b"#" * (MOST_BYTES + 1), b"a: \xff", b"a: 1\nb: 2\na: 3\n"):
        path.write_bytes(content)
        with pytest.raises(ConfigError):
            read_mapping(path, ["a", "b"])
    with pytest.raises(ConfigError):  # it has no end
        read_mapping("/dev/zero", ["a"])
    path.write_text("a: 1\nb:\n")
    assert read_mapping(path, ["a", "b"]) == {"a": 1}


def test_shipped_configurations_are_found_by_name(tmp_path, monkeypatch):
    names = shipped()
    assert {"table1", "table2", "table5", "fig1", "fig3", "official", "pyiqa"} <= names.keys()
    assert read_yaml("table1") == read_yaml(names["table1"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table1").write_text("a: 1")
    assert read_yaml("table1") == {"a": 1}  # a file of that name wins
    for other in ("tabel1", "osediff", "table2.yml"):  # a protocol is no configuration of a command
        with pytest.raises(ConfigError):
            read_yaml(other)
