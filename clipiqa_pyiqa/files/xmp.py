"""The rating in XMP, found by the parser's byte positions, so that all other bytes stay as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.parsers import expat

from ..errors import CLIPIQAError

_RDF, _XMP = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://ns.adobe.com/xap/1.0/"
_MORE = "has a rating in a form that is not changed"
_OF_A_PHOTO = [f"{_RDF} RDF", f"{_RDF} Description"]  # the elements around a property of the photo itself
_RATING = f"{_XMP} Rating"
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")
_HEAD = re.compile(rb"<([^\s/>]+)(?:" + _ATTRIBUTE.pattern + rb")*")
NEW = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{_RDF}">\n  <rdf:Description rdf:about=""/>\n </rdf:RDF>\n</x:xmpmeta>\n'
    '<?xpacket end="w"?>\n'
).encode()
"""A packet without a rating."""


class XMPError(CLIPIQAError):
    """XMP that is left alone; the reason follows the file's name in a sentence."""


@dataclass(frozen=True)
class Rating:
    """The property ``xmp:Rating`` of a photo.

    Attributes:
        text: The value as written; None if the property is missing.
        start, end: The bytes that another value replaces.
        form: Text around a new value.
        whole: First and last byte of the property.
    """

    text: str | None
    start: int
    end: int
    form: tuple[bytes, bytes]
    whole: tuple[int, int]

    @property
    def stars(self) -> int:
        """Return 1 to 5, -1 (rejected), or 0 for a photo without rating."""
        found = re.fullmatch(r"\s*(-1|[0-5])(\.0*)?\s*", self.text or "")
        return int(found[1]) if found else 0

    def change(self, text: str | None) -> tuple[int, int, bytes]:
        """Return first byte, last byte and replacement that give the property a value, or remove it for None."""
        return (*self.whole, b"") if text is None else (self.start, self.end, text.encode().join(self.form))


def find_rating(packet: bytes) -> Rating:
    """Return the rating in a packet, the content of a sidecar. Raises ``XMPError``."""
    path, scope = list[str](), list[tuple[str | None, str]]()
    found, opened, described = list[Rating](), list[int](), list[Rating]()

    def start(name: str, attributes: list[str]) -> None:
        path.append(" ".join(name.split(" ")[:2]))
        at = parser.CurrentByteIndex
        if path[-2:] == _OF_A_PHOTO:
            described.append(_missing(packet, at, dict(scope)))
            prefixes = [key.split(" ")[-1] for key in attributes[::2] if key.startswith(f"{_RATING} ")]
            found.extend(_attribute(packet, at, f"{prefix}:Rating".encode()) for prefix in prefixes)
        elif path[-3:] == [*_OF_A_PHOTO, _RATING]:
            opened.append(at)
            if attributes:
                raise XMPError(_MORE)

    def end(name: str) -> None:
        if path[-3:] == [*_OF_A_PHOTO, _RATING]:
            found.append(_element(packet, opened[-1], parser.CurrentByteIndex))
        path.pop()

    def declare(version: str, encoding: str | None, standalone: int) -> None:
        if (encoding or "utf-8").lower() != "utf-8":
            raise XMPError(f"is in {encoding}, not in UTF-8")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.namespace_prefixes = parser.ordered_attributes = True
    parser.StartElementHandler, parser.EndElementHandler, parser.XmlDeclHandler = start, end, declare
    parser.StartNamespaceDeclHandler = lambda prefix, uri: scope.append((prefix, uri))
    parser.EndNamespaceDeclHandler = lambda prefix: scope.pop()
    try:
        if "\0" in (text := packet.decode()):
            raise XMPError("is not in UTF-8")
        if "<!DOCTYPE" in text:
            raise XMPError("has a DOCTYPE")
        parser.Parse(packet, True)
    except UnicodeDecodeError as error:
        raise XMPError("is not in UTF-8") from error
    except expat.ExpatError as error:
        raise XMPError(f"is not XMP, or damaged ({error})") from error
    if len(found) > 1 or not described:
        raise XMPError("has two ratings" if described else "has no description of a photo")
    return (found or described)[0]


def _attribute(packet: bytes, at: int, name: bytes) -> Rating:
    each = next(each for each in _ATTRIBUTE.finditer(packet, at) if each[1] == name)
    start, end = each.start(2) + 1, each.end(2) - 1
    return Rating(packet[start:end].decode(), start, end, (b"", b""), each.span())


def _element(packet: bytes, at: int, end: int) -> Rating:
    head = _HEAD.match(packet, at)
    assert head
    start = packet.index(b">", head.end()) + 1
    if packet[start - 2] == ord("/"):
        return Rating("", at, start, (head[0] + b">", b"</" + head[1] + b">"), (at, start))
    if b"<" in packet[start:end]:
        raise XMPError(_MORE)
    return Rating(packet[start:end].decode(), start, end, (b"", b""), (at, packet.index(b">", end) + 1))


def _missing(packet: bytes, at: int, names: dict[str | None, str]) -> Rating:
    head = _HEAD.match(packet, at)
    assert head
    prefix, place = next((name for name, uri in names.items() if name and uri == _XMP), None), head.end()
    new = prefix or next(name for name in ("xmp", "xap", "clipiqa") if name not in names)
    declaration = "" if prefix else f' xmlns:{new}="{_XMP}"'
    return Rating(None, place, place, (f'{declaration} {new}:Rating="'.encode(), b'"'), (place, place))
