"""The configurations and table protocols that the package holds."""

from pathlib import Path

from ...errors import ConfigError
from ...text import hint_for

_PROTOCOLS = "protocols"  # the folder of table protocols


def shipped_configs() -> dict[str, Path]:
    """Return name -> file of the package's configurations."""
    return {path.stem: path for path in _shipped_files() if path.parent.name != _PROTOCOLS}


def shipped_protocols() -> dict[str, Path]:
    """Return name -> file of the package's table protocols."""
    return {path.stem: path for path in _shipped_files() if path.parent.name == _PROTOCOLS}


def _shipped_files() -> list[Path]:
    package = Path(__file__).parents[2]
    folder = package / "configs"
    if not folder.is_dir():  # in a clone
        folder = package.parent / "configs"
    return sorted(folder.glob("*/*.yml"))


def shipped_file(name: str) -> Path:
    """Return the file of a configuration of this package. Raises ``ConfigError`` for another name."""
    files = shipped_configs()
    if name not in files:
        raise ConfigError(
            f"{name!r} is neither a file nor one of the configurations of this package: {hint_for(name, files)}"
        )
    return files[name]
