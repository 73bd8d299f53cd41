"""BER values one by one, as a lenient reader needs them (X.690, section 8).

`pkcs12/ber.py` makes DER of a whole file instead; here the bytes as they are matter, because a
signature is over them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_OID, _LONG_TAG, _INDEFINITE = 0x06, 0x1F, 0x80
# A certificate has about seven levels; the limits end a bomb early.
_DEPTH = 32
_MAX_OID = 64


class Element(NamedTuple):
    """A BER value: its tag, its content, and all of its bytes."""

    tag: int
    content: bytes
    whole: bytes


def elements(data: bytes) -> Iterator[Element]:
    """Iterate over the BER values in `data` (X.690, section 8.1).

    Raises:
        ValueError: there is something else in it, or too many levels.
        IndexError: it is cut short.
    """
    at = 0
    while at < len(data):
        element = _element(data, at)
        yield element
        at += len(element.whole)


def first_element(data: bytes) -> Element:
    """Return the first BER value in `data`; the errors are those of `elements`."""
    return _element(data, 0)


def _element(data: bytes, start: int, depth: int = 0) -> Element:
    tag, size, at = data[start], data[start + 1], start + 2
    if tag & _LONG_TAG == _LONG_TAG or depth > _DEPTH:
        message = "a tag of several bytes, or too many levels"
        raise ValueError(message)
    if size == _INDEFINITE:  # two zero bytes end it
        begin = at
        while data[at : at + 2] != b"\0\0":
            at += len(_element(data, at, depth + 1).whole)
        return Element(tag, data[begin:at], data[start : at + 2])
    if size > _INDEFINITE:
        octets = size & 0x7F
        size, at = int.from_bytes(data[at : at + octets], "big"), at + octets
    if at + size > len(data):
        message = "cut short"
        raise IndexError(message)
    return Element(tag, data[at : at + size], data[start : at + size])


def encode(tag: int, *parts: bytes) -> bytes:
    """Return a DER value with these parts as its content."""
    content = b"".join(parts)
    size = len(content)
    if size < _INDEFINITE:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _INDEFINITE | len(length))) + length + content


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
    """Return an OID in its dotted form (X.690, section 8.19)."""
    if len(oid.content) > _MAX_OID:
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
