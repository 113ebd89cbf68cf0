"""The configurations and table protocols that the package holds."""

from pathlib import Path

from ...errors import ConfigError
from ...text import hint_for


def shipped(protocols: bool = False) -> dict[str, Path]:
    """Return a dict from name to file: the package's configurations, or, with ``protocols``, its table protocols."""
    package = Path(__file__).parents[2]
    folder = package / "configs"
    if not folder.is_dir():  # in a clone
        folder = package.parent / "configs"
    files = dict[str, Path]()
    for path in sorted(folder.glob("*/*.yml")):
        is_protocol = path.parent.name == "protocols"
        if is_protocol == protocols:
            files[path.stem] = path
    return files


def shipped_file(name: str) -> Path:
    """Return the file of a configuration of this package. Raises ``ConfigError`` for another name."""
    files = shipped()
    if name not in files:
        raise ConfigError(
            f"{name!r} is neither a file nor one of the configurations of this package: {hint_for(name, files)}"
        )
    return files[name]
