"""Trust: what NSS's flags of a certificate mean (lib/certdb/certdb.h, CERTDB_*), in words."""

from __future__ import annotations

USER = 0x40
_TERMINAL, _TRUSTED, _TRUSTED_CA = 0x01, 0x02, 0x10
_TRUSTED_CLIENT_CA, _UNKNOWN = 0x80, 0x800

Trust = tuple[tuple[str, str], ...]


def trust_of(ssl: int, email: int, code: int) -> Trust:
    """What the three sets of flags say about each usage; () where they say nothing."""
    if not (ssl | email | code) & ~USER:
        return ()
    # One set serves both ends of TLS, but for which clients' CAs are trusted.
    clients = ssl | _TRUSTED_CA if ssl & _TRUSTED_CLIENT_CA else ssl & ~_TRUSTED_CA
    return (
        ("server", _word(ssl)),
        ("client", _word(clients)),
        ("code", _word(code)),
        ("email", _word(email)),
    )


def _word(flags: int) -> str:
    """NSS's word for a set of flags (lib/softoken/legacydb/lgattr.c, lg_FindTrustAttribute)."""
    if flags & _TRUSTED_CA:
        return "trusted-ca"
    if flags & _TRUSTED:
        return "trusted"
    if flags & _UNKNOWN:
        return "unknown"
    return "not-trusted" if flags & _TERMINAL else "must-verify"
