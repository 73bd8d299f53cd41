"""The process that NSS lives in: one for each store, because NSS is global to a process.

A script of its own: it is run by its path, and imports nothing of nssbackup. It reads a request a
line from its standard input and writes a line of answer for each, both JSON; bytes are base64. A
password comes through the pipe and goes nowhere else.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import site
import sys
from collections.abc import Callable
from typing import Any

# Certificate trust flags, lib/certdb/certdb.h.
_USER = 0x40

# With the token named, a colon in the rest belongs to the nickname.
_TOKEN = "NSS Certificate DB:"  # noqa: S105 - a token of PKCS#11

# PK11ObjectType (lib/pk11wrap/secmodt.h) and CKA_LABEL.
_PK11_TYPE_CERT, _CKA_LABEL = 3, 3

# linux/prctl.h
_PR_SET_DUMPABLE = 4


class Worker:
    """NSS with one store, behind the requests."""

    _nss: Any = None

    def hello(self) -> str:
        """The version of NSS."""
        self._load()
        return str(self._nss.nss_get_version())

    def open(self, location: str) -> None:
        """Open a store read-only.

        Args:
            location: `sql:` or `dbm:` and the folder.
        """
        self._load()
        self._nss.nss_init(location)

    def certificates(self) -> list[dict[str, Any]]:
        """Every certificate of the store."""
        labels = Labels(self._nss.__file__)
        return [
            {
                "der": _text(certificate.der_data),
                "nickname": labels.of(certificate.der_data),
                "has_private_key": bool(certificate.ssl_trust_flags & _USER),
                "ssl": certificate.ssl_trust_flags,
                "email": certificate.email_trust_flags,
                "code": certificate.signing_trust_flags,
            }
            for certificate in self._nss.get_internal_key_slot().list_certs()
        ]

    def needs_password(self) -> bool | None:
        """Whether a primary password is set; None where the store has no password record."""
        slot = self._nss.get_internal_key_slot()
        return None if slot.need_user_init() else bool(slot.need_login())

    def unlock(self, password: str) -> bool:
        """Whether this is the primary password; if it is, the store is unlocked."""
        try:
            return bool(self._nss.get_internal_key_slot().check_user_passwd(password))
        except UnicodeEncodeError:  # half a surrogate pair, which no password has
            return False

    def export(self, nickname: str, password: str) -> str:
        """Every identity of a nickname as a PFX under a password made up for the purpose."""
        # Without the ciphers named, this NSS binding leaves the certificates unencrypted.
        cipher = self._nss.SEC_OID_AES_256_CBC
        return _text(self._nss.pkcs12_export(_TOKEN + nickname, password, cipher, cipher))

    def restore(self, location: str, primary: str, pfx: str, password: str) -> bool:
        """Import a PFX into a store; whether the primary password is right.

        Args:
            location: as of `open`; this store is written to.
            primary: its primary password.
            pfx: the path of the file.
            password: what opens it.
        """
        self._load()
        self._nss.nss_init_read_write(location)
        slot = self._nss.get_internal_key_slot()
        if not slot.check_user_passwd(primary):
            return False
        self._nss.PKCS12Decoder(pfx, password, slot).database_import()
        return True

    def _load(self) -> None:
        """Load NSS: here, so that a failure is an answer.

        Raises:
            ImportError: it can't be had; the message is for a person.
        """
        try:
            from nss import nss
        except ModuleNotFoundError as error:
            message = "python-nss-ng is not installed"
            raise ImportError(message) from error
        except (ImportError, OSError, RuntimeError) as error:
            message = f"python-nss-ng is installed, but NSS can't be loaded: {error}"
            raise ImportError(message) from error
        if not hasattr(nss, "pkcs12_enable_all_ciphers"):
            message = "the package `nss` that is installed is not that of python-nss-ng"
            raise ImportError(message)
        self._nss = nss
        # Nobody can be asked: without an answer NSS goes on as if the login had failed.
        nss.set_password_callback(lambda *_: None)


class _Item(ctypes.Structure):
    """SECItem (lib/util/seccomon.h)."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_uint),
    )


class Labels:
    """The nicknames of certificates (CKA_LABEL), which the binding doesn't tell.

    It lists the nicknames of user certificates and of trusted ones, and of no others. The functions
    called here are NSS's own, of the library that the binding has loaded.

    Args:
        binding: the path of the binding's module; a look-up in it finds what it is linked with.
    """

    def __init__(self, binding: str) -> None:
        self._nss = ctypes.CDLL(binding)
        self._nss.PK11_GetInternalKeySlot.restype = ctypes.c_void_p
        self._nss.PK11_FindCertFromDERCertItem.restype = ctypes.c_void_p
        self._nss.PK11_FreeSlot.restype = self._nss.CERT_DestroyCertificate.restype = None

    def of(self, der: bytes) -> str | None:
        """The nickname of a certificate of the store; None where it has none."""
        slot = ctypes.c_void_p(self._nss.PK11_GetInternalKeySlot())
        content = ctypes.create_string_buffer(der, len(der))
        wanted = _Item(0, ctypes.addressof(content), len(der))
        found = self._nss.PK11_FindCertFromDERCertItem(slot, ctypes.byref(wanted), None)
        self._nss.PK11_FreeSlot(slot)
        if not found:
            return None
        certificate = ctypes.c_void_p(found)
        label = _Item()
        status = self._nss.PK11_ReadRawAttribute(
            _PK11_TYPE_CERT, certificate, ctypes.c_ulong(_CKA_LABEL), ctypes.byref(label)
        )
        self._nss.CERT_DestroyCertificate(certificate)
        if status or not label.data:
            return None
        text = ctypes.string_at(label.data, label.length)
        self._nss.SECITEM_FreeItem(ctypes.byref(label), 0)
        return text.decode("utf-8", "surrogateescape") or None


def main() -> None:
    """Answer requests until the end of the input."""
    _keep_memory_private()
    for folder in sys.argv[1:]:
        site.addsitedir(folder)
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        operation: Callable[..., Any] = getattr(worker, request.pop("operation"))
        try:
            answer = {"result": operation(**request)}
        except Exception as error:  # noqa: BLE001 - whatever it was, the other side is told
            answer = {"error": str(error) or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _keep_memory_private() -> None:
    """No core dump, no look from outside: as `system.hardening` does it."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    main()
