"""The rating in XMP, found by the parser's byte positions, so that all other bytes stay as they are."""

import re
from dataclasses import dataclass
from xml.parsers import expat

from ..errors import CLIPIQAError

_RDF, _XMP = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://ns.adobe.com/xap/1.0/"
_OF_A_PHOTO = [f"{_RDF} RDF", f"{_RDF} Description"]  # the elements around a property of the photo itself
_RATING = f"{_XMP} Rating"
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")
_HEAD = re.compile(rb"<([^\s/>]+)(?:" + _ATTRIBUTE.pattern + rb")*")
_ELEMENT = re.compile(rb"(" + _HEAD.pattern + rb")\s*(?:/>|>([^<]*)</[^>]*>)")
NEW = (  # a packet without a rating
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{_RDF}">\n  <rdf:Description rdf:about=""/>\n </rdf:RDF>\n</x:xmpmeta>\n'
    '<?xpacket end="w"?>\n'
).encode()


class XMPError(CLIPIQAError):
    """XMP that is left alone; the reason follows the file's name in a sentence."""


@dataclass(frozen=True)
class Rating:
    """The property ``xmp:Rating`` of a photo.

    Attributes:
        place: First and last byte that another value replaces.
        whole: First and last byte of the property.
        around: Texts before and after another value.
    """

    text: str | None
    place: tuple[int, int]
    whole: tuple[int, int]
    around: tuple[bytes, bytes] = (b"", b"")

    @property
    def stars(self) -> int:
        """Return 1 to 5, -1 (rejected), or 0 for a photo without rating."""
        found = re.fullmatch(r"\s*(-1|[0-5])(\.0*)?\s*", self.text or "")
        return int(found[1]) if found else 0

    def changed(self, packet: bytes, text: str | None) -> bytes:
        """Return the packet with another value, or without the property for None."""
        (start, end), new = (self.whole, b"") if text is None else (self.place, text.encode().join(self.around))
        return packet[:start] + new + packet[end:]


def find_rating(packet: bytes) -> Rating:
    """Return the rating in a packet, the content of a sidecar. Raises ``XMPError``."""
    path, scope = list[str](), list[tuple[str | None, str]]()
    found, missing = list[Rating](), list[Rating]()

    def start(name: str, attributes: list[str]) -> None:
        path.append(" ".join(name.split(" ")[:2]))
        at = parser.CurrentByteIndex
        if path[-2:] == _OF_A_PHOTO:
            prefixes = dict(scope)
            known = next((name for name, uri in prefixes.items() if name and uri == _XMP), None)
            new = known or next(name for name in ("xmp", "xap", "clipiqa") if name not in prefixes)
            declaration = "" if known else f' xmlns:{new}="{_XMP}"'
            place = at + len(_HEAD.match(packet, at)[0])  # type: ignore[index]  # the parser has found an element
            around = (f'{declaration} {new}:Rating="'.encode(), b'"')
            missing.append(Rating(None, (place, place), (place, place), around))
            for key in attributes[::2]:
                if key.startswith(f"{_RATING} "):
                    written = f"{key.split(' ')[-1]}:Rating".encode()
                    each = next(each for each in _ATTRIBUTE.finditer(packet, at) if each[1] == written)
                    found.append(Rating(each[2][1:-1].decode(), (each.start(2) + 1, each.end(2) - 1), each.span()))
        elif path[-3:] == [*_OF_A_PHOTO, _RATING]:
            element = _ELEMENT.match(packet, at)
            if element is None or attributes:
                raise XMPError("has a rating in a form that is not changed")
            is_empty = element[5] is None
            around = (element[1] + b">", b"</" + element[2] + b">") if is_empty else (b"", b"")
            text = (element[5] or b"").decode()
            found.append(Rating(text, element.span(0 if is_empty else 5), element.span(), around))

    def declare(version: str, encoding: str | None, standalone: int) -> None:
        if (encoding or "utf-8").lower() != "utf-8":
            raise XMPError(f"is in {encoding}, not in UTF-8")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.namespace_prefixes = parser.ordered_attributes = True
    parser.StartElementHandler, parser.XmlDeclHandler = start, declare
    parser.EndElementHandler = lambda name: path.pop()
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
    if len(found) > 1 or not missing:
        raise XMPError("has two ratings" if missing else "has no description of a photo")
    return (found or missing)[0]
