"""The process that NSS lives in: one for each store, because NSS is global to a process.

A script of its own: it is run by its path, and imports nothing of nssbackup. It reads a request a
line from its standard input and writes a line of answer for each, both JSON; bytes are base64. A
password comes through the pipe and goes nowhere else.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import nss.nss

# Certificate trust flags, lib/certdb/certdb.h.
_USER = 0x40

# With the token named, a colon in the rest belongs to the nickname.
_TOKEN = "NSS Certificate DB:"  # noqa: S105 - a token of PKCS#11


class Worker:
    """NSS with one store, behind the requests."""

    def hello(self) -> str:
        """The version of NSS."""
        return str(nss.nss.nss_get_version())

    def open(self, location: str) -> None:
        """Open a store read-only.

        Args:
            location: `sql:` or `dbm:` and the folder.
        """
        # Nobody can be asked: without an answer NSS goes on as if the login had failed.
        nss.nss.set_password_callback(lambda *_: None)
        nss.nss.nss_init(location)

    def certificates(self) -> list[dict[str, Any]]:
        """Every certificate of the store."""
        names = dict(self._nicknames())
        return [
            {
                "der": _text(certificate.der_data),
                "nickname": names.get(certificate.der_data),
                "has_private_key": bool(certificate.ssl_trust_flags & _USER),
                "ssl": certificate.ssl_trust_flags,
                "email": certificate.email_trust_flags,
                "code": certificate.signing_trust_flags,
            }
            for certificate in nss.nss.get_internal_key_slot().list_certs()
        ]

    def needs_password(self) -> bool | None:
        """Whether a primary password is set; None where the store has no password record."""
        slot = nss.nss.get_internal_key_slot()
        return None if slot.need_user_init() else bool(slot.need_login())

    def unlock(self, password: str) -> bool:
        """Whether this is the primary password; if it is, the store is unlocked."""
        return bool(nss.nss.get_internal_key_slot().check_user_passwd(password))

    def export(self, nickname: str, password: str) -> str:
        """Every identity of a nickname as a PFX under a password made up for the purpose."""
        # Without the ciphers named, this NSS binding leaves the certificates unencrypted.
        cipher = nss.nss.SEC_OID_AES_256_CBC
        return _text(nss.nss.pkcs12_export(_TOKEN + nickname, password, cipher, cipher))

    def restore(self, location: str, primary: str, pfx: str, password: str) -> bool:
        """Import a PFX into a store; whether the primary password is right.

        Args:
            location: as of `open`; this store is written to.
            primary: its primary password.
            pfx: the path of the file.
            password: what opens it.
        """
        nss.nss.set_password_callback(lambda *_: None)
        nss.nss.nss_init_read_write(location)
        slot = nss.nss.get_internal_key_slot()
        if not slot.check_user_passwd(primary):
            return False
        nss.nss.PKCS12Decoder(pfx, password, slot).database_import()
        return True

    def _nicknames(self) -> Iterator[tuple[bytes, str]]:
        """The nickname of each certificate, by its DER: a certificate doesn't know its own here."""
        database = nss.nss.get_default_certdb()
        for kind in (
            nss.nss.SEC_CERT_NICKNAMES_USER,
            nss.nss.SEC_CERT_NICKNAMES_CA,
            nss.nss.SEC_CERT_NICKNAMES_SERVER,
        ):
            for nickname in nss.nss.get_cert_nicknames(database, kind):
                for certificate in nss.nss.find_certs_from_nickname(_TOKEN + nickname):
                    yield certificate.der_data, nickname


def main() -> None:
    """Answer requests until the end of the input."""
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        operation: Callable[..., Any] = getattr(worker, request.pop("operation"))
        try:
            answer = {"result": operation(**request)}
        except Exception as error:  # noqa: BLE001 - whatever it was, the other side is told
            answer = {"error": str(error) or type(error).__name__}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    main()
