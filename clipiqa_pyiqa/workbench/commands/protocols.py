"""``clipiqa protocols``: how papers compute their tables."""

from typing import Annotated

from cyclopts import Parameter

from .options.console_tables import rows_as_text
from .options.groups import Settings


def run(name: Annotated[str | None, Parameter(metavar="NAME")] = None, /, *, settings: Settings = Settings()) -> int:
    """List how papers compute their tables, or show one protocol with its source, as YAML.

    examples:
      clipiqa protocols
      clipiqa protocols osediff

    Args:
        name: a protocol, or the path of your own; default: all protocols
    """
    from dataclasses import asdict

    import yaml

    from ..files.shipped import shipped_protocols
    from ..table.protocols import CERTAINTY, read_protocol

    if name is not None:
        fields = asdict(read_protocol(name))
        del fields["name"]  # that of the file
        stated_fields = {key: value for key, value in fields.items() if value}
        print(yaml.safe_dump(stated_fields, sort_keys=False, allow_unicode=True, width=120), end="")
        return 0
    protocols = [read_protocol(name) for name in shipped_protocols()]
    rows = [(protocol.name, protocol.title, CERTAINTY[protocol.certainty]) for protocol in protocols]
    print(rows_as_text([("name", "whose", "known"), *rows]))
    return 0
