"""Names of an image's versions: ``PATH [scale 0.5, darker 2]``."""

_START = " [scale "


def version_name(path: str, scale: float, change: str) -> str:
    """Return the name of a version of an image: its path, its scale, and what was changed, in words."""
    return f"{path}{_START}{scale:g}, {change}]"


def path_of_version(name: str) -> str:
    """Return the path in a version's name; other names are returned as they are."""
    path, start, _ = name.rpartition(_START)
    return path if start else name
