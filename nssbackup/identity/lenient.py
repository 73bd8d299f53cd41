"""Certificates that depart from the standard, rewritten so that `cryptography` can read them.

OpenSSL, NSS and Java read certificates that a strict DER parser refuses: default values written
out, times without seconds, Latin-1 in a PrintableString, a modulus without its leading zero.
This module copies such a certificate part by part, brings unusual parts into the standard form
and reports what it changed. The copy is for reading facts only: an identity keeps its own DER,
and a signature is verified over the bytes that were signed.

The structure is that of RFC 5280, section 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509

_BOOLEAN, _INTEGER, _BIT_STRING, _OCTET_STRING, _OID = 1, 2, 3, 4, 6
_UTF8, _UTC_TIME, _GENERALIZED_TIME, _SEQUENCE, _SET = 0x0C, 0x17, 0x18, 0x30, 0x31
_VERSION, _EXTENSIONS, _LONG_TAG = 0xA0, 0xA3, 0x1F
_V3 = b"\xa0\x03\x02\x01\x02"
# A certificate has about seven levels and 20 extensions; both limits end a bomb early.
_DEPTH = 32
_MAX_EXTENSIONS = 100
_MAX_OID = 64

# String types of one byte a character, and the characters of a PrintableString (X.680, 41.4).
_PRINTABLE_STRING = 0x13
_PRINTABLE = re.compile(rb"[A-Za-z0-9 '()+,\-./:=?]*")
_EIGHT_BIT = frozenset((_UTF8, 0x12, 0x14, 0x16, 0x1A))
_OTHER_EIGHT_BIT = frozenset((0x15, 0x19, 0x1B))  # `cryptography` does not know these
_WIDE = {0x1E: "utf-16-be", 0x1C: "utf-32-be"}

# UTCTime and GeneralizedTime in every form of X.680, sections 46 and 47.
_TIME = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)?(\d\d)?(?:[.,]\d+)?(?:Z|([+-]\d\d)(\d\d))?")
_FIRST, _LAST = datetime(1950, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_UNIQUE_IDENTIFIER = bytes.fromhex("55042d")  # the one attribute that is a BIT STRING
_CONSTRAINTS = bytes.fromhex("551d13")
_EXTENSION_NAMES = {
    bytes.fromhex("551d0e"): "its subject key identifier",
    bytes.fromhex("551d0f"): "its key usage",
    bytes.fromhex("551d11"): "its alternative name",
    _CONSTRAINTS: "whether it is a CA's",
    bytes.fromhex("551d23"): "its authority key identifier",
    bytes.fromhex("551d25"): "its extended key usage",
}
_RSA = bytes.fromhex("2a864886f70d010101")
# Signature algorithms without parameters: ECDSA, DSA (RFC 5758), Ed25519 and Ed448 (RFC 8410).
_WITHOUT_PARAMETERS = (b"\x2a\x86\x48\xce\x3d\x04", b"\x2a\x86\x48\xce\x38\x04", b"\x2b\x65")
# An algorithm that does not exist, under the enterprise number for documentation (RFC 5612).
_NO_ALGORITHM = bytes.fromhex("300a06082b0601040181fd59")


@dataclass(frozen=True, slots=True)
class Reading:
    """A certificate as it was read.

    Attributes:
        certificate: its facts; a rewritten copy if `departures` is not empty.
        der: the certificate itself.
        signed: the bytes that its signature is over.
        key_algorithm: the OID of its key's algorithm, dotted.
        departures: where it departs from the standard, in words.
    """

    certificate: x509.Certificate
    der: bytes
    signed: bytes
    key_algorithm: str
    departures: tuple[str, ...]


def read_leniently(data: bytes) -> Reading:
    """Read a certificate that `cryptography` refuses, as OpenSSL, NSS and Java do.

    Args:
        data: the certificate, DER or BER.

    Raises:
        ValueError: it is not a certificate.
    """
    try:
        return _Rewriter().reading(data)
    except IndexError as error:
        message = "cut short"
        raise ValueError(message) from error


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
    if size == 0x80:  # noqa: PLR2004 - of indefinite length: it ends with two zero bytes
        begin = at
        while data[at : at + 2] != b"\0\0":
            at += len(_element(data, at, depth + 1).whole)
        return Element(tag, data[begin:at], data[start : at + 2])
    if size > 0x80:  # noqa: PLR2004
        octets = size & 0x7F
        size, at = int.from_bytes(data[at : at + octets], "big"), at + octets
    if at + size > len(data):
        message = "cut short"
        raise IndexError(message)
    return Element(tag, data[at : at + size], data[start : at + size])


def _encode(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:  # noqa: PLR2004 - X.690, section 8.1.3
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _again(element: Element) -> bytes:
    """Encode an element with a definite, minimal length."""
    return _encode(element.tag, element.content)


def _inside(element: Element, tag: int) -> bytes:
    """Return the content of an element that must have this tag."""
    if element.tag != tag:
        message = f"tag {element.tag:#x} where {tag:#x} should be"
        raise ValueError(message)
    return element.content


class _Rewriter:
    """Brings the parts of one certificate into the standard form and notes what it changes."""

    def __init__(self) -> None:
        self._departures: dict[str, None] = {}

    def reading(self, data: bytes) -> Reading:
        """Return the certificate in `data`."""
        whole = first_element(data)
        signed, outer, signature = elements(_inside(whole, _SEQUENCE))
        parts = list(elements(_inside(signed, _SEQUENCE)))
        version = parts.pop(0) if parts[0].tag == _VERSION else None
        serial, inner, issuer, validity, subject, key, *more = parts
        copy = _Copy(
            self._version(version, has_more=bool(more)),
            self._serial(serial),
            self._algorithm(inner),
            self._name(issuer, "issuer"),
            self._validity(validity),
            self._name(subject, "subject"),
            self._key(key),
            self._algorithm(outer),
            self._signature(signature),
        )
        certificate = self._with_extensions(self._readable(copy), more)
        if not self._departures:
            self._note("it is not encoded as DER")
        algorithm = first_element(_inside(key, _SEQUENCE))
        oid = first_element(_inside(algorithm, _SEQUENCE))
        return Reading(
            certificate, whole.whole, signed.whole, _dotted(oid), tuple(self._departures)
        )

    def _note(self, departure: str) -> None:
        self._departures[departure] = None

    def _version(self, version: Element | None, *, has_more: bool) -> bytes:
        number = int.from_bytes(first_element(version.content).content, "big") if version else 0
        if version and number == 0:
            self._note("its version 1 is written out")
        elif number not in (0, 2):
            self._note(f"its version is {number + 1}")
        return _V3 if has_more or number else b""

    def _serial(self, serial: Element) -> bytes:
        if not _inside(serial, _INTEGER):
            message = "no serial number"
            raise ValueError(message)
        number = int.from_bytes(serial.content, "big", signed=True)
        size = (number + (number < 0)).bit_length() // 8 + 1
        minimal = _encode(_INTEGER, number.to_bytes(size, "big", signed=True))
        if minimal != serial.whole:
            self._note("its serial number is padded")
        return minimal

    def _algorithm(self, algorithm: Element) -> bytes:
        oid, *parameters = elements(_inside(algorithm, _SEQUENCE))
        if parameters and oid.content.startswith(_WITHOUT_PARAMETERS):
            self._note("its signature algorithm has parameters")
            return _encode(_SEQUENCE, oid.whole)
        return _again(algorithm)

    def _name(self, name: Element, whose: str) -> bytes:
        sets = (
            [self._attribute(each, whose) for each in elements(_inside(one, _SET))]
            for one in elements(_inside(name, _SEQUENCE))
        )
        return _encode(
            _SEQUENCE, *(_encode(_SET, *attributes) for attributes in sets if attributes)
        )

    def _attribute(self, attribute: Element, whose: str) -> bytes:
        kind, value = elements(_inside(attribute, _SEQUENCE))
        if _is_readable_text(kind, value):
            return attribute.whole
        self._note(f"the text of its {whose} is not encoded as it claims")
        return _encode(_SEQUENCE, kind.whole, _encode(_UTF8, _text(value).encode()))

    def _validity(self, validity: Element) -> bytes:
        begin, end = elements(_inside(validity, _SEQUENCE))
        return _encode(
            _SEQUENCE, self._time(begin, "begins", _FIRST), self._time(end, "ends", _LAST)
        )

    def _time(self, time: Element, what: str, otherwise: datetime) -> bytes:
        try:
            moment = _moment(time)
        except (ValueError, OverflowError):
            self._note(f"the time when it {what} can't be read")
            moment = otherwise
        # RFC 5280, section 4.1.2.5
        if _FIRST.year <= moment.year < 2050:  # noqa: PLR2004
            encoded = _encode(_UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())
        else:
            encoded = _encode(_GENERALIZED_TIME, f"{moment:%Y%m%d%H%M%SZ}".encode())
        if encoded != time.whole:
            self._note(f"the time when it {what} is written in an unusual form")
        return encoded

    def _key(self, key: Element) -> bytes:
        algorithm, bits = elements(_inside(key, _SEQUENCE))
        if first_element(_inside(algorithm, _SEQUENCE)).content != _RSA:
            return _encode(_SEQUENCE, _again(algorithm), _again(bits))
        numbers = first_element(_inside(bits, _BIT_STRING)[1:])
        positive = map(_positive, elements(_inside(numbers, _SEQUENCE)))
        rewritten = _encode(_BIT_STRING, b"\0", _encode(_SEQUENCE, *positive))
        if rewritten != bits.whole:
            self._note("a number of its RSA key lacks a zero or has too many")
        return _encode(_SEQUENCE, _again(algorithm), rewritten)

    def _signature(self, signature: Element) -> bytes:
        bits = _inside(signature, _BIT_STRING)
        if bits[:1] != b"\0":  # all algorithms make whole bytes
            self._note("its signature can't be read")
            bits = b"\0"
        return _encode(_BIT_STRING, bits)

    def _readable(self, copy: _Copy) -> _Copy:
        """Replace algorithms with parameters that can't be read by one that does not exist."""
        others = copy._replace(inner=_NO_ALGORITHM, outer=_NO_ALGORITHM)
        no_key = _encode(_SEQUENCE, _NO_ALGORITHM, _encode(_BIT_STRING, b"\0"))
        for departure, attempt in (
            (None, copy),
            ("its public key can't be read", copy._replace(key=no_key)),
            ("its signature algorithm can't be read", others),
        ):
            try:
                attempt.certificate(())
            except ValueError:
                continue
            if departure:
                self._note(departure)
            return attempt
        message = "neither algorithm can be read"
        raise ValueError(message)

    def _with_extensions(self, copy: _Copy, more: Sequence[Element]) -> x509.Certificate:
        """Complete a certificate with the extensions that can be read."""
        extensions: dict[bytes, bytes] = {}
        for one in more:
            if one.tag != _EXTENSIONS:  # the unique identifiers of RFC 5280, 4.1.2.8
                continue
            for extension in elements(_inside(first_element(one.content), _SEQUENCE)):
                kind, *critical, value = elements(_inside(extension, _SEQUENCE))
                if kind.content in extensions:
                    self._note("it has an extension twice")
                    continue
                flag = b"".join(map(self._flag, critical))
                content = value.whole
                if kind.content == _CONSTRAINTS:
                    with suppress(ValueError, IndexError):  # else it is left out below
                        content = self._constraints(value)
                extensions[kind.content] = _encode(_SEQUENCE, kind.whole, flag, content)
        if len(extensions) > _MAX_EXTENSIONS:
            message = "too many extensions"
            raise ValueError(message)
        readable = [
            encoded
            for oid, encoded in extensions.items()
            if self._is_readable(oid, copy.certificate([encoded]))
        ]
        return copy.certificate(readable)

    def _constraints(self, value: Element) -> bytes:
        """Bring basic constraints into the standard form (RFC 5280, section 4.2.1.9)."""
        parts = elements(_inside(first_element(_inside(value, _OCTET_STRING)), _SEQUENCE))
        rewritten = (self._flag(each) if each.tag == _BOOLEAN else each.whole for each in parts)
        return _encode(_OCTET_STRING, _encode(_SEQUENCE, *rewritten))

    def _flag(self, boolean: Element) -> bytes:
        """Return the encoding of TRUE, or nothing for FALSE, the default."""
        flag = _encode(_BOOLEAN, b"\xff") if any(_inside(boolean, _BOOLEAN)) else b""
        if flag != boolean.whole:
            self._note("a flag of an extension is written in an unusual form")
        return flag

    def _is_readable(self, oid: bytes, certificate: x509.Certificate) -> bool:
        try:
            return bool(certificate.extensions)
        except (ValueError, TypeError, x509.UnsupportedGeneralNameType):
            name = _EXTENSION_NAMES.get(oid, "an extension")
            self._note(f"{name} can't be read")
            return False


class _Copy(NamedTuple):
    """The parts of a rewritten certificate, each encoded."""

    version: bytes
    serial: bytes
    inner: bytes
    issuer: bytes
    validity: bytes
    subject: bytes
    key: bytes
    outer: bytes
    signature: bytes

    def certificate(self, extensions: Sequence[bytes]) -> x509.Certificate:
        """Put the parts together."""
        *signed, outer, signature = self
        behind = _encode(_EXTENSIONS, _encode(_SEQUENCE, *extensions)) if extensions else b""
        body = _encode(_SEQUENCE, *signed, behind)
        return x509.load_der_x509_certificate(_encode(_SEQUENCE, body, outer, signature))


def _is_readable_text(kind: Element, value: Element) -> bool:
    """Tell whether `cryptography` reads an attribute of a name, and reads it right."""
    tag, content = value.tag, value.content
    if tag == _PRINTABLE_STRING:
        return _PRINTABLE.fullmatch(content) is not None
    if tag == _BIT_STRING:
        return kind.content == _UNIQUE_IDENTIFIER
    encoding = "utf-8" if tag in _EIGHT_BIT else _WIDE.get(tag)
    if encoding is None:
        return False
    try:
        content.decode(encoding)
    except ValueError:
        return False
    return True


def _text(value: Element) -> str:
    """Return a text whatever its encoding; what is not text is shown as hex (RFC 4514, 2.4)."""
    if value.tag in _WIDE:
        return value.content.decode(_WIDE[value.tag], "replace")
    if value.tag not in _EIGHT_BIT | _OTHER_EIGHT_BIT | {_PRINTABLE_STRING}:
        return f"#{value.whole.hex()}"
    try:
        return value.content.decode()
    except ValueError:
        return value.content.decode("latin-1")


def _moment(time: Element) -> datetime:
    content = time.content.replace(b" ", b"0")
    if time.tag == _UTC_TIME:  # RFC 5280, section 4.1.2.5.1
        content = (b"19" if content >= b"5" else b"20") + content
    parts = _TIME.fullmatch(content)
    if parts is None or time.tag not in (_UTC_TIME, _GENERALIZED_TIME):
        message = "not a time"
        raise ValueError(message)
    year, month, day, hour, minute, second, zone_hours, zone_minutes = (
        int(part or 0) for part in parts.groups()
    )
    # Days and hours past the end run on, as in OpenSSL.
    start = datetime(year, month, 1, tzinfo=UTC)
    zone = timedelta(hours=zone_hours, minutes=zone_minutes if zone_hours >= 0 else -zone_minutes)
    return start + timedelta(day - 1, second, hours=hour, minutes=minute) - zone


def _positive(number: Element) -> bytes:
    """Encode the number of an RSA key, which is positive whatever its first bit says."""
    value = int.from_bytes(_inside(number, _INTEGER), "big")
    return _encode(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _dotted(oid: Element) -> str:
    """Return an OID in its dotted form (X.690, section 8.19)."""
    if len(oid.content) > _MAX_OID:
        message = "an OID of unusual length"
        raise ValueError(message)
    numbers, number = [], 0
    for octet in _inside(oid, _OID):
        number = number << 7 | octet & 0x7F
        if octet < 0x80:  # noqa: PLR2004
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
