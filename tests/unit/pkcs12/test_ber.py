"""BER to DER: every encoding of one value gives one DER, and a bomb is refused at once."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssbackup.errors import BackupError, DamagedBackupError, UnsupportedBackupError
from nssbackup.identity.ber import encode
from nssbackup.pkcs12 import safes

# A tag and its content: octets, or trees.
Tree = tuple[int, Any]

LEAVES = st.tuples(st.just(0x04), st.binary(max_size=40)) | st.tuples(
    st.sampled_from([0x02, 0x06, 0x1E, 0x80, 0x9F]), st.binary(max_size=300)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.sampled_from([0x30, 0x31, 0xA0, 0xA1]), st.lists(inner, max_size=5)),
    max_leaves=20,
)


def tag_octets(tag: int) -> bytes:
    return b"\x9f\x81\x02" if tag == 0x9F else bytes([tag])


def as_der(tree: Tree) -> bytes:
    tag, content = tree
    encoded = content
    if isinstance(content, list):
        parts = [as_der(each) for each in content]
        encoded = b"".join(sorted(parts) if tag == 0x31 else parts)
    return encode(tag_octets(tag), encoded)


def as_ber(tree: Tree, random: Random, pieces: int = 3) -> bytes:
    """Any of the encodings X.690 allows; an OCTET STRING in pieces of pieces, `pieces` deep."""
    tag, content = tree
    octets, constructed = tag_octets(tag), isinstance(content, list)
    body = b"" if constructed else bytes(content)
    if constructed:
        order = random.sample(content, len(content)) if tag == 0x31 else content
        body = b"".join(as_ber(each, random) for each in order)
    elif tag == 0x04 and pieces and random.random() < 0.5:
        cut = random.randint(0, len(content))
        octets, constructed = b"\x24", True
        body = b"".join(
            as_ber((0x04, piece), random, pieces - 1) for piece in (content[:cut], content[cut:])
        )
    if constructed and random.random() < 0.5:
        return octets + b"\x80" + body + b"\0\0"
    if random.random() < 0.5:
        padding = random.randint(4, 6)
        return octets + bytes([0x80 | padding]) + len(body).to_bytes(padding, "big") + body
    return encode(octets, body)


@settings(deadline=None)
@given(tree=TREES, random=st.randoms(use_true_random=False))
def test_every_encoding_of_a_value_gives_its_der(tree: Tree, random: Random) -> None:
    assert safes.normalise(as_ber(tree, random)) == as_der(tree)


@given(st.binary(max_size=200))
def test_any_bytes_are_der_afterwards_or_refused(data: bytes) -> None:
    try:
        der = safes.normalise(data)
    except BackupError:
        return
    assert safes.normalise(der) == der


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x80\x00",
        b"\x30\x02\x05",
        b"\x04\x80\x00\x00",  # indefinite and primitive
        b"\x24\x03\x02\x01\x05",  # pieces of an OCTET STRING that are none
        b"\x30\x02\x00\x00",  # end of contents where none was begun
        b"\x30\x00\x00",  # something behind
        b"\x1f\xff",
        b"\x04\xff" + b"\xff" * 127,
    ],
)
def test_what_is_no_ber_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedBackupError):
        safes.normalise(data)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x30\x80" * 4_000_000,
        b"\x24\x80" * 4_000_000,
        b"\x30\x80" + b"\x05\x00" * 4_000_000,
        b"\x30\x80" + b"\x30\x80\x00\x00" * 2_000_000,
        b"\x24\x80" + b"\x04\x01a" * 2_500_000,
        b"\x1f" + b"\x80" * 8_000_000,
        b"\x04\x01a" * 3_000_000,
    ],
    ids=["deep", "pieces-of-pieces", "wide", "wide-indefinite", "pieces", "tag", "too-large"],
)
def test_a_bomb_is_refused(bomb: bytes) -> None:
    with pytest.raises(BackupError):
        safes.normalise(bomb)


def nested(depth: int) -> bytes:
    """So many SEQUENCEs, one in the other."""
    data = b""
    for _ in range(depth):
        data = encode(b"\x30", data)
    return data


def test_the_bounds_are_those_that_are_said() -> None:
    assert safes.normalise(nested(33)) == nested(33)  # 32 levels below the outermost
    with pytest.raises(UnsupportedBackupError):
        safes.normalise(nested(34))
    wide = encode(b"\x30", b"\x05\0" * 49_999)
    assert safes.normalise(wide) == wide
    with pytest.raises(UnsupportedBackupError):
        safes.normalise(encode(b"\x30", b"\x05\0" * 50_000))
    large = encode(b"\x04", bytes(8 * 1024 * 1024 - 5))
    assert len(large) == 8 * 1024 * 1024
    assert safes.normalise(large) == large
    with pytest.raises(UnsupportedBackupError, match="larger than 8 MiB"):
        safes.normalise(encode(b"\x04", bytes(8 * 1024 * 1024 - 4)))


@pytest.mark.parametrize("tag", [b"\x1f\x01", b"\x3f\x81\x01", b"\x1f\xff\xff\xff\xff\x7f"])
def test_a_long_tag_is_walked_over(tag: bytes) -> None:
    content = b"\x05\0" if tag[0] & 0x20 else b"abc"
    value = encode(b"\x30", encode(tag, content) + b"\x04\x01z")
    assert safes.normalise(value) == value


@pytest.mark.parametrize("tag", [b"\x1f" + b"\xff" * 5 + b"\x7f", b"\x1f" + b"\xff" * 40 + b"\x7f"])
def test_a_tag_that_is_too_long_is_refused(tag: bytes) -> None:
    with pytest.raises(DamagedBackupError):
        safes.normalise(encode(tag, b"abc"))


@pytest.mark.parametrize(
    ("size", "head"),
    [(0, "0400"), (127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100")],
)
def test_a_length_is_as_short_as_it_can_be(size: int, head: str) -> None:
    assert encode(b"\x04", bytes(size)) == bytes.fromhex(head) + bytes(size)


def test_the_end_of_contents_is_looked_for_within_its_value() -> None:
    # The zeros behind the inner value are not its own: it has no end.
    with pytest.raises(DamagedBackupError):
        safes.normalise(b"\x30\x06" + b"\x30\x80\x05\0\x05\0" + b"\0\0")
