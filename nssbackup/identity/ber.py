"""BER values, one by one, and their encoding as DER (X.690, sections 8 and 10.1).

`pkcs12/ber.py` makes DER of a whole file; the reader of certificates takes values as they are,
because a signature is over their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_OID, _LONG_TAG, _INDEFINITE = 0x06, 0x1F, 0x80
_TAG_OCTETS = 6
# A certificate has about seven levels; the limits end a bomb early.
_DEPTH = 32
_MAX_OID = 64


class Element(NamedTuple):
    """A BER value: its tag, its content, and all of its bytes."""

    tag: int
    content: bytes
    whole: bytes


def read_header(data: bytes, start: int, limit: int) -> tuple[bytes, int | None, int]:
    """Read the tag and the length of the value at `start`.

    Returns:
        The tag's octets, the size of the content (None: indefinite), and where the content begins.

    Raises:
        ValueError: the value does not end before `limit`, or its tag has more than six octets.
    """
    try:
        at = start + 1
        if data[start] & _LONG_TAG == _LONG_TAG:
            while data[at] & 0x80 and at - start < _TAG_OCTETS:
                at += 1
            at += 1
        tag, first, at = data[start:at], data[at], at + 1
    except IndexError:
        tag, first, at = b"", 0, limit + 1
    size = None if first == _INDEFINITE else first
    if first > _INDEFINITE:
        octets = first & 0x7F
        size, at = int.from_bytes(data[at : at + octets], "big"), at + octets
    if len(tag) > _TAG_OCTETS or at + (size or 0) > limit:
        message = "cut short, or a tag of unusual length"
        raise ValueError(message)
    return tag, size, at


def elements(data: bytes) -> Iterator[Element]:
    """Iterate over the BER values in `data`.

    Raises:
        ValueError: there is something else in it, or too many levels.
    """
    at = 0
    while at < len(data):
        element = _element(data, at)
        yield element
        at += len(element.whole)


def first_element(data: bytes) -> Element:
    """Return the first BER value in `data`; the error is that of `elements`."""
    return _element(data, 0)


def _element(data: bytes, start: int, depth: int = 0) -> Element:
    (tag, *long), size, at = read_header(data, start, len(data))
    if long or depth > _DEPTH:
        message = "a tag of several bytes, or too many levels"
        raise ValueError(message)
    if size is not None:
        return Element(tag, data[at : at + size], data[start : at + size])
    begin = at
    while data[at : at + 2] != b"\0\0":
        at += len(_element(data, at, depth + 1).whole)
    return Element(tag, data[begin:at], data[start : at + 2])


def encode(tag: int | bytes, *parts: bytes) -> bytes:
    """Return a DER value with this tag (or identifier octets) and these parts as its content."""
    identifier = tag if isinstance(tag, bytes) else bytes((tag,))
    content = b"".join(parts)
    size = len(content)
    if size < _INDEFINITE:
        return identifier + bytes((size,)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return identifier + bytes((_INDEFINITE | len(length),)) + length + content


def reencoded(element: Element) -> bytes:
    """Encode an element with a definite, minimal length."""
    return encode(element.tag, element.content)


def content_of(element: Element, tag: int) -> bytes:
    """Return the content of an element that must have this tag.

    Raises:
        ValueError: it has another.
    """
    if element.tag != tag:
        message = f"tag {element.tag:#x} where {tag:#x} should be"
        raise ValueError(message)
    return element.content


def dotted(oid: Element) -> str:
    """Return an OID in its dotted form (X.690, section 8.19).

    Raises:
        ValueError: it is not an OID, or one of unusual length.
    """
    if not 0 < len(oid.content) <= _MAX_OID:
        message = "an OID of unusual length"
        raise ValueError(message)
    numbers, number = [], 0
    for octet in content_of(oid, _OID):
        number = number << 7 | octet & 0x7F
        if octet < _INDEFINITE:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
