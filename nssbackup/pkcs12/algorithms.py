"""Object identifiers of the algorithms in a PFX, and the names people know them by."""

from __future__ import annotations

from cryptography.x509 import ObjectIdentifier

from nssbackup.errors import UnsupportedBackupError
from nssbackup.pkcs12.kdf import HASHES, Hash

# RFC 8018, appendix C
PBKDF2 = ObjectIdentifier("1.2.840.113549.1.5.12")
PBES2 = ObjectIdentifier("1.2.840.113549.1.5.13")
PBMAC1 = ObjectIdentifier("1.2.840.113549.1.5.14")
# RFC 7292, appendix C
PBE_SHA1_3DES = ObjectIdentifier("1.2.840.113549.1.12.1.3")

# FIPS 180-4 in NIST's arc; SHA-1 in OIW's (RFC 3279, 2.1 and RFC 5754, 2)
HASH_OIDS: dict[Hash, ObjectIdentifier] = {
    "sha1": ObjectIdentifier("1.3.14.3.2.26"),
    "sha224": ObjectIdentifier("2.16.840.1.101.3.4.2.4"),
    "sha256": ObjectIdentifier("2.16.840.1.101.3.4.2.1"),
    "sha384": ObjectIdentifier("2.16.840.1.101.3.4.2.2"),
    "sha512": ObjectIdentifier("2.16.840.1.101.3.4.2.3"),
}
# RFC 8018, B.1.2
HMAC_OIDS: dict[Hash, ObjectIdentifier] = {
    name: ObjectIdentifier(f"1.2.840.113549.2.{number}")
    for number, name in zip((7, 8, 9, 10, 11), HASHES, strict=True)
}
# NIST's AES arc: CBC by the bits of the key (RFC 8018, B.2.5)
AES_CBC_OIDS: dict[int, ObjectIdentifier] = {
    128: ObjectIdentifier("2.16.840.1.101.3.4.1.2"),
    192: ObjectIdentifier("2.16.840.1.101.3.4.1.22"),
    256: ObjectIdentifier("2.16.840.1.101.3.4.1.42"),
}
HASH_BY_OID = {oid: name for name, oid in HASH_OIDS.items()}
HASH_BY_HMAC_OID = {oid: name for name, oid in HMAC_OIDS.items()}
AES_BITS_BY_OID = {oid: bits for bits, oid in AES_CBC_OIDS.items()}

# Schemes that are named and not done here. The parameters of each are those of PKCS#5 v1.5:
# salt and rounds (RFC 7292, appendix C; RFC 8018, A.3).
PBES1_NAMES = {
    ObjectIdentifier(f"1.2.840.113549.1.{arc}"): name
    for arc, name in (
        ("12.1.1", "RC4-128 (PBE-SHA1)"),
        ("12.1.2", "RC4-40 (PBE-SHA1)"),
        ("12.1.3", "3DES (PBE-SHA1)"),
        ("12.1.4", "2-key 3DES (PBE-SHA1)"),
        ("12.1.5", "RC2-128 (PBE-SHA1)"),
        ("12.1.6", "RC2-40 (PBE-SHA1)"),
        ("5.3", "DES (PBE-MD5)"),
        ("5.6", "RC2-64 (PBE-MD5)"),
        ("5.10", "DES (PBE-SHA1)"),
        ("5.11", "RC2-64 (PBE-SHA1)"),
    )
}
# Ciphers and derivations that PBES2 may name (RFC 8018, B.2; RFC 5084; RFC 7914).
_OTHER_NAMES = {
    ObjectIdentifier(dotted): name
    for dotted, name in (
        ("1.2.840.113549.3.7", "3DES-CBC"),
        ("1.2.840.113549.3.2", "RC2-CBC"),
        ("1.3.14.3.2.7", "DES-CBC"),
        ("2.16.840.1.101.3.4.1.6", "AES-128-GCM"),
        ("2.16.840.1.101.3.4.1.26", "AES-192-GCM"),
        ("2.16.840.1.101.3.4.1.46", "AES-256-GCM"),
        ("1.2.392.200011.61.1.1.1.2", "Camellia-128-CBC"),
        ("1.2.392.200011.61.1.1.1.4", "Camellia-256-CBC"),
        ("1.3.6.1.4.1.11591.4.11", "scrypt"),
        ("1.2.840.113549.2.5", "MD5"),
        ("2.16.840.1.101.3.4.2.6", "SHA-512/256"),
    )
}


def unsupported(name: str) -> UnsupportedBackupError:
    """The error of a file that uses what can't be opened here, by its name."""
    message = f"the PFX uses {name}, which can't be opened here"
    hint = (
        "import the file into a program that knows it, such as Firefox, Windows or the macOS"
        " Keychain, and make a new one there: from Firefox `nssbackup export` does it"
    )
    return UnsupportedBackupError(message, hint=hint)


def hash_title(name: Hash) -> str:
    """The name of a hash as people write it: "SHA-256"."""
    return f"SHA-{name.removeprefix('sha')}"


def name_of(oid: ObjectIdentifier) -> str:
    """The name of an algorithm, or its dotted number where none is known here."""
    for names in (PBES1_NAMES, _OTHER_NAMES):
        if oid in names:
            return names[oid]
    if oid in AES_BITS_BY_OID:
        return f"AES-{AES_BITS_BY_OID[oid]}-CBC"
    if oid in HASH_BY_OID:
        return hash_title(HASH_BY_OID[oid])
    return oid.dotted_string
