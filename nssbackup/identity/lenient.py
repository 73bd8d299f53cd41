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
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509

from nssbackup.identity.ber import (
    Element,
    content_of,
    dotted,
    elements,
    encode,
    first_element,
    reencoded,
)

_BOOLEAN, _INTEGER, _BIT_STRING, _OCTET_STRING, _OID = 1, 2, 3, 4, 6
_UTF8, _UTC_TIME, _GENERALIZED_TIME, _SEQUENCE, _SET = 0x0C, 0x17, 0x18, 0x30, 0x31
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_V3 = b"\xa0\x03\x02\x01\x02"
# A certificate has about 20 extensions; the limit ends a bomb early.
_MAX_EXTENSIONS = 100

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


class _Rewriter:
    """Brings the parts of one certificate into the standard form and notes what it changes."""

    def __init__(self) -> None:
        self._departures: dict[str, None] = {}

    def reading(self, data: bytes) -> Reading:
        """Return the certificate in `data`."""
        whole = first_element(data)
        signed, outer, signature = elements(content_of(whole, _SEQUENCE))
        parts = list(elements(content_of(signed, _SEQUENCE)))
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
        algorithm = first_element(content_of(key, _SEQUENCE))
        oid = first_element(content_of(algorithm, _SEQUENCE))
        return Reading(certificate, whole.whole, signed.whole, dotted(oid), tuple(self._departures))

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
        if not content_of(serial, _INTEGER):
            message = "no serial number"
            raise ValueError(message)
        number = int.from_bytes(serial.content, "big", signed=True)
        size = (number + (number < 0)).bit_length() // 8 + 1
        minimal = encode(_INTEGER, number.to_bytes(size, "big", signed=True))
        if minimal != serial.whole:
            self._note("its serial number is padded")
        return minimal

    def _algorithm(self, algorithm: Element) -> bytes:
        oid, *parameters = elements(content_of(algorithm, _SEQUENCE))
        if parameters and oid.content.startswith(_WITHOUT_PARAMETERS):
            self._note("its signature algorithm has parameters")
            return encode(_SEQUENCE, oid.whole)
        return reencoded(algorithm)

    def _name(self, name: Element, whose: str) -> bytes:
        sets = (
            [self._attribute(each, whose) for each in elements(content_of(one, _SET))]
            for one in elements(content_of(name, _SEQUENCE))
        )
        return encode(_SEQUENCE, *(encode(_SET, *attributes) for attributes in sets if attributes))

    def _attribute(self, attribute: Element, whose: str) -> bytes:
        kind, value = elements(content_of(attribute, _SEQUENCE))
        if _is_readable_text(kind, value):
            return attribute.whole
        self._note(f"the text of its {whose} is not encoded as it claims")
        return encode(_SEQUENCE, kind.whole, encode(_UTF8, _text(value).encode()))

    def _validity(self, validity: Element) -> bytes:
        begin, end = elements(content_of(validity, _SEQUENCE))
        return encode(
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
            encoded = encode(_UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())
        else:
            encoded = encode(_GENERALIZED_TIME, f"{moment:%Y%m%d%H%M%SZ}".encode())
        if encoded != time.whole:
            self._note(f"the time when it {what} is written in an unusual form")
        return encoded

    def _key(self, key: Element) -> bytes:
        algorithm, bits = elements(content_of(key, _SEQUENCE))
        if first_element(content_of(algorithm, _SEQUENCE)).content != _RSA:
            return encode(_SEQUENCE, reencoded(algorithm), reencoded(bits))
        numbers = first_element(content_of(bits, _BIT_STRING)[1:])
        positive = map(_positive, elements(content_of(numbers, _SEQUENCE)))
        rewritten = encode(_BIT_STRING, b"\0", encode(_SEQUENCE, *positive))
        if rewritten != bits.whole:
            self._note("a number of its RSA key lacks a zero or has too many")
        return encode(_SEQUENCE, reencoded(algorithm), rewritten)

    def _signature(self, signature: Element) -> bytes:
        bits = content_of(signature, _BIT_STRING)
        if bits[:1] != b"\0":  # all algorithms make whole bytes
            self._note("its signature can't be read")
            bits = b"\0"
        return encode(_BIT_STRING, bits)

    def _readable(self, copy: _Copy) -> _Copy:
        """Replace algorithms with parameters that can't be read by one that does not exist."""
        others = copy._replace(inner=_NO_ALGORITHM, outer=_NO_ALGORITHM)
        no_key = encode(_SEQUENCE, _NO_ALGORITHM, encode(_BIT_STRING, b"\0"))
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
            for extension in elements(content_of(first_element(one.content), _SEQUENCE)):
                kind, *critical, value = elements(content_of(extension, _SEQUENCE))
                if kind.content in extensions:
                    self._note("it has an extension twice")
                    continue
                flag = b"".join(map(self._flag, critical))
                content = value.whole
                if kind.content == _CONSTRAINTS:
                    with suppress(ValueError):  # else it is left out below
                        content = self._constraints(value)
                extensions[kind.content] = encode(_SEQUENCE, kind.whole, flag, content)
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
        parts = elements(content_of(first_element(content_of(value, _OCTET_STRING)), _SEQUENCE))
        rewritten = (self._flag(each) if each.tag == _BOOLEAN else each.whole for each in parts)
        return encode(_OCTET_STRING, encode(_SEQUENCE, *rewritten))

    def _flag(self, boolean: Element) -> bytes:
        """Return the encoding of TRUE, or nothing for FALSE, the default."""
        flag = encode(_BOOLEAN, b"\xff") if any(content_of(boolean, _BOOLEAN)) else b""
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
        behind = encode(_EXTENSIONS, encode(_SEQUENCE, *extensions)) if extensions else b""
        body = encode(_SEQUENCE, *signed, behind)
        return x509.load_der_x509_certificate(encode(_SEQUENCE, body, outer, signature))


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
    value = int.from_bytes(content_of(number, _INTEGER), "big")
    return encode(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
