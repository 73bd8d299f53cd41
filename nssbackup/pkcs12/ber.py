"""BER to DER: what NSS and Windows write becomes what a DER parser reads.

Hand-written because the parsers at hand read only DER, and NSS writes a PFX with indefinite
lengths and OCTET STRINGs in pieces (seen in files of pk12util 3.87). The content of an OCTET STRING
stays as it is: the MAC covers the authSafe as it was written, so each level is normalised when it
is opened.
"""

from __future__ import annotations

from nssbackup.errors import DamagedBackupError, UnsupportedBackupError
from nssbackup.identity.ber import encode, read_header

__all__ = ["FILE_BYTES", "encode", "first", "normalise"]

# A PFX with a hundred certificates has 200 kB.
FILE_BYTES = 8 * 1024 * 1024
# Our own file is 12 levels deep and has some 60 elements; both bounds stop a bomb early.
_DEPTH = 32
_ELEMENTS = 50_000

_CONSTRUCTED = 0x20
_OCTET_STRING = 0x04
_SET = 0x31
_END_OF_CONTENTS = b"\0\0"


def normalise(data: bytes) -> bytes:
    """Turn one BER value into DER: definite minimal lengths, whole OCTET STRINGs, sorted SETs.

    Args:
        data: one BER value (X.690, section 8), with nothing behind it.

    Raises:
        DamagedBackupError: `data` is something else.
        UnsupportedBackupError: it is larger than 8 MiB, nested deeper than 32 levels or made of
            more than 50,000 elements.
    """
    der, end = first(data)
    if end != len(data):
        raise _damaged()
    return der


def first(data: bytes) -> tuple[bytes, int]:
    """Return the BER value that `data` begins with as DER, and its length; errors as above."""
    if len(data) > FILE_BYTES:
        message = f"the file is larger than {FILE_BYTES // 1024 // 1024} MiB, the limit for a PFX"
        raise UnsupportedBackupError(message)
    tag, content, end = _Reader(data).element(0, len(data), 0)
    return encode(tag, content), end


class _Reader:
    """Walks one buffer; it visits every octet once per level around it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._elements = 0

    def element(self, start: int, limit: int, depth: int) -> tuple[bytes, bytes, int]:
        """Return the element at `start`: its tag and content in DER, and the offset behind it."""
        self._elements += 1
        if self._elements > _ELEMENTS or depth > _DEPTH:
            message = "the file has more ASN.1 elements, or deeper ones, than are read here"
            raise UnsupportedBackupError(message)
        try:
            tag, size, at = read_header(self._data, start, limit)
        except ValueError as error:
            raise _damaged() from error
        constructed = tag[0] & _CONSTRUCTED
        if tag == b"\0" or (size is None and not constructed):
            raise _damaged()
        end = None if size is None else at + size
        if end is not None and not constructed:
            return tag, self._data[at:end], end
        children, behind = self._children(at, end, limit, depth)
        if tag[0] == _OCTET_STRING | _CONSTRUCTED:
            if any(child[0] != bytes([_OCTET_STRING]) for child in children):
                raise _damaged()
            return bytes([_OCTET_STRING]), b"".join(child[1] for child in children), behind
        encoded = [encode(*child) for child in children]
        if tag[0] == _SET:
            encoded.sort()
        return tag, b"".join(encoded), behind

    def _children(
        self, start: int, end: int | None, limit: int, depth: int
    ) -> tuple[list[tuple[bytes, bytes]], int]:
        """Return the elements from `start` to `end`, or to the end-of-contents octets."""
        children: list[tuple[bytes, bytes]] = []
        at = start
        while at != end:
            if end is None and self._data[at : min(at + 2, limit)] == _END_OF_CONTENTS:
                return children, at + 2
            tag, content, at = self.element(at, limit if end is None else end, depth + 1)
            children.append((tag, content))
        return children, at


def _damaged() -> DamagedBackupError:
    return DamagedBackupError("the file is not a PFX, or it is damaged: its ASN.1 can't be read")
