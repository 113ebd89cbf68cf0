"""Which class pyiqa builds, in every order of imports: each in a process that has imported torch, not pyiqa or us.

pyiqa swallows an entry point that raises and builds its own class instead, so these tests look at the class built.
"""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from pyiqa.utils.registry import Registry

from clipiqa_pyiqa import plugin

OURS = "clipiqa_pyiqa.metric"
BUILTIN = "pyiqa.archs.clipiqa_arch"
PREAMBLE = """
import json, os, sys
WEIGHTS = os.environ['TEST_WEIGHTS']
def create(**options):
    import pyiqa
    options = options or {'backbone': 'mini'}
    return type(pyiqa.create_metric('clipiqa', device='cpu', **options).net).__module__
def create_builtin(**options):
    import pyiqa, torch
    import pyiqa.archs.clip_model as clip_model
    clip_model.load = lambda *_: torch.nn.Identity()  # it can open nothing but OpenAI's own archives
    if 'pyiqa.archs.clipiqa_arch' in sys.modules:
        sys.modules['pyiqa.archs.clipiqa_arch'].load = clip_model.load
    return type(pyiqa.create_metric('clipiqa', device='cpu', **options).net).__module__
def answer(**values):
    print(json.dumps(values))
"""
BLOCK_CLIP = """
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'clip':
            raise ModuleNotFoundError("No module named 'pkg_resources'", name='pkg_resources')
sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture
def in_process(full_rn50, forked_bare, tmp_path):
    """Run code in a process, away from the checkout, and return what it answered and its standard error."""
    weights = {"TEST_WEIGHTS": str(full_rn50)}

    def run(code, **variables):
        done = forked_bare.run("", tmp_path, code=PREAMBLE + code, variables=weights | variables)
        assert done.code == 0, done.err
        return json.loads(done.out.splitlines()[-1]), done.err

    return run


def test_pyiqa_alone_builds_ours_and_says_so_once(in_process):
    code = """
import pyiqa
first = create(prompts='sharpness', clip_weights=WEIGHTS)
print('--- named', file=sys.stderr)
second, third = create(clip_weights=WEIGHTS), create(clip_weights=WEIGHTS)
light = 'clipiqa_pyiqa' in sys.modules and 'clip' not in sys.modules
import clipiqa_pyiqa
answer(built=[first, second, third], light=light, active=clipiqa_pyiqa.is_active(),
       same=type(pyiqa.create_metric('clipiqa', clip_weights=WEIGHTS).net) is clipiqa_pyiqa.CLIPIQA)
"""
    result, stderr = in_process(code)
    assert result == {"built": [OURS] * 3, "light": True, "active": True, "same": True}
    before, after = stderr.split("--- named")
    assert "clipiqa-pyiqa" not in before and after.count("clipiqa-pyiqa") == 1
    assert "CLIPIQA_PYIQA_BUILTIN=1" in after


def test_the_registry_builds_ours_at_the_top_level_of_a_script(in_process):
    """The builder once looked for pyiqa's wrapper among its callers, of which a script has too few."""
    code = """
from pyiqa.utils.registry import ARCH_REGISTRY
answer(built=type(ARCH_REGISTRY.get('CLIPIQA')(backbone='mini')).__module__)
"""
    assert in_process(code)[0] == {"built": OURS}


def test_ours_is_built_if_the_builtin_was_imported_first(in_process):
    code = """
import pyiqa.archs.clipiqa_arch
import clipiqa_pyiqa
answer(built=create(), builtin=create_builtin(type='CLIPIQA_builtin'), active=clipiqa_pyiqa.is_active())
"""
    assert in_process(code)[0] == {"built": OURS, "builtin": BUILTIN, "active": True}


def test_ours_is_built_if_it_was_imported_first(in_process):
    code = """
import clipiqa_pyiqa
clipiqa_pyiqa.CLIPIQA
active = clipiqa_pyiqa.is_active()
import pyiqa.archs.clipiqa_arch
answer(active=[active, clipiqa_pyiqa.is_active()], built=create())
"""
    assert in_process(code)[0] == {"active": [True, True], "built": OURS}


def test_ours_is_built_if_the_registry_was_iterated_first(in_process):
    code = """
from pyiqa.utils.registry import ARCH_REGISTRY
names = [name for name, _ in ARCH_REGISTRY]
light = 'open_clip' not in sys.modules and 'clip' not in sys.modules
import pyiqa.archs.clipiqa_arch, pyiqa
iterated = dict(iter(ARCH_REGISTRY))['CLIPIQA'].__module__
answer(names='CLIPIQA' in names, light=light, iterated=iterated, built=create(),
       builtin=create_builtin(type='CLIPIQA_builtin'), again=create())
"""
    expected = {"names": True, "light": True, "iterated": "clipiqa_pyiqa.plugin"}
    assert in_process(code)[0] == expected | {"built": OURS, "builtin": BUILTIN, "again": OURS}


def test_the_variable_keeps_the_builtin(in_process):
    code = """
import clipiqa_pyiqa
answer(active=[clipiqa_pyiqa.is_active()], built=create_builtin(), named=create_builtin(type='CLIPIQA_builtin'),
       after=clipiqa_pyiqa.is_active())
"""
    result, stderr = in_process(code, CLIPIQA_PYIQA_BUILTIN="1")
    assert result == {"active": [False], "built": BUILTIN, "named": BUILTIN, "after": False}
    assert "clipiqa-pyiqa" not in stderr


def test_ours_is_built_without_openais_clip(in_process):
    """As on a fresh installation. Repairing it in the running process must not replace ours, or fail."""
    code = (
        BLOCK_CLIP
        + """
errors = []
built = [create()]
for attempt in range(2):
    try:
        import pyiqa.archs.clipiqa_arch
    except ImportError as error:
        errors.append(str(error))
try:
    create_builtin(type='CLIPIQA_builtin')
except ImportError as error:
    errors.append(str(error))
built.append(create())
sys.meta_path.pop(0)
import pyiqa.archs.clipiqa_arch
built += [create(), create_builtin(type='CLIPIQA_builtin')]
answer(errors=errors, built=built)
"""
    )
    result, _ = in_process(code)
    assert result["built"] == [OURS, OURS, OURS, BUILTIN]
    assert result["errors"][:2] == ["No module named 'pkg_resources'"] * 2
    assert "built-in CLIPIQA cannot be imported (No module named 'pkg_resources')" in result["errors"][2]
    assert "setuptools<82" in result["errors"][2]


@pytest.mark.slow
def test_pyiqa_command_scores_with_ours(full_rn50, forked_bare, tmp_path):
    """`pyiqa clipiqa -t photo.png`, with nothing but a folder of weights."""
    Image.effect_noise((96, 64), 40).convert("RGB").save(tmp_path / "photo.png")
    command = str(Path(sys.executable).with_name("pyiqa"))
    code = f"from runpy import run_path; run_path({command!r}, run_name='__main__')"
    variables = {"CLIPIQA_WEIGHTS_DIR": str(full_rn50.parent)}
    done = forked_bare.run("clipiqa -t photo.png --device cpu -v", tmp_path, code=code, variables=variables)
    assert done.code == 0, done.err
    assert "'photo.png': 0." in done.out
    assert done.err.count("clipiqa-pyiqa") == 1


def test_other_registrations_pass_through_untouched(monkeypatch):
    registry = Registry("test")
    monkeypatch.setattr(plugin, "ARCH_REGISTRY", registry)
    plugin.register()

    @registry.register(name="Other", aliases=["Alias"])
    class Mine: ...

    assert registry.get("Other") is registry.get("Alias") is Mine
    with pytest.raises(AssertionError):  # of pyiqa
        registry.register(Mine, name="Other")
