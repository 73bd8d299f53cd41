"""The process that NSS runs in: one for each store, because NSS is global to a process.

This is a script: it is run by its path and imports nothing of nssbackup. It reads a request from
each line of its standard input and writes an answer as one line, both JSON; bytes are base64. A
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
    """The requests that can be made of NSS and one store."""

    _nss: Any = None

    def hello(self) -> str:
        """Return the version of NSS."""
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
        """Return every certificate of the store."""
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
        """Return whether a primary password is set; None if there is no password record."""
        slot = self._nss.get_internal_key_slot()
        return None if slot.need_user_init() else bool(slot.need_login())

    def unlock(self, password: str) -> bool:
        """Unlock the store; return whether the password is right."""
        try:
            return bool(self._nss.get_internal_key_slot().check_user_passwd(password))
        except UnicodeEncodeError:  # half a surrogate pair: no password has one
            return False

    def export(self, nickname: str, password: str) -> str:
        """Return every identity of a nickname as a PFX, protected by the given password."""
        # Unless ciphers are named, this binding leaves the certificates unencrypted.
        cipher = self._nss.SEC_OID_AES_256_CBC
        return _text(self._nss.pkcs12_export(_TOKEN + nickname, password, cipher, cipher))

    def restore(self, location: str, primary: str, pfx: str, password: str) -> bool:
        """Import a PFX into a store; return whether the primary password is right.

        Args:
            location: as for `open`; this store is written to.
            primary: its primary password.
            pfx: the path of the file.
            password: of the file.
        """
        self._load()
        self._nss.nss_init_read_write(location)
        slot = self._nss.get_internal_key_slot()
        if not slot.check_user_passwd(primary):
            return False
        self._nss.PKCS12Decoder(pfx, password, slot).database_import()
        return True

    def _load(self) -> None:
        """Load NSS: not at the top, so that a failure becomes an answer.

        Raises:
            ImportError: it is not available; the message is for a person.
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
            message = "the installed package `nss` is not python-nss-ng"
            raise ImportError(message)
        self._nss = nss
        # Without an answer NSS goes on as if the login had failed: there is nobody to ask.
        nss.set_password_callback(lambda *_: None)


class _Item(ctypes.Structure):
    """SECItem (lib/util/seccomon.h)."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_uint),
    )


class Labels:
    """The nicknames of certificates (CKA_LABEL).

    The binding has only those of user certificates and trusted ones. These are NSS's own
    functions, in the library that the binding has loaded.

    Args:
        binding: the path of the binding's module, through which its libraries are found.
    """

    def __init__(self, binding: str) -> None:
        self._nss = ctypes.CDLL(binding)
        self._nss.PK11_GetInternalKeySlot.restype = ctypes.c_void_p
        self._nss.PK11_FindCertFromDERCertItem.restype = ctypes.c_void_p
        self._nss.PK11_FreeSlot.restype = self._nss.CERT_DestroyCertificate.restype = None

    def of(self, der: bytes) -> str | None:
        """Return the nickname of a certificate of the store, or None."""
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
    # What a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        operation: Callable[..., Any] = getattr(worker, request.pop("operation"))
        try:
            answer = {"result": operation(**request)}
        except Exception as error:  # noqa: BLE001 - the other side is told, whatever it was
            answer = {"error": str(error) or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _keep_memory_private() -> None:
    """Allow no core dump and no debugger, as `system.ownership` does."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    main()
