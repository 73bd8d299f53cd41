"""Back up a client certificate and its private key from a Firefox profile, without NSS.

The library never prints, asks, reads the environment or exits: it takes values and callables and
returns reports. Each name is loaded when it is first used, so that a program that needs one of
them does not wait for all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nssbackup.backups.export import (
        ExportOptions,
        export_all,
        export_certificate,
        export_identity,
    )
    from nssbackup.backups.mail import MailOptions
    from nssbackup.backups.repassword import RepasswordOptions, repassword_backup
    from nssbackup.backups.verify import verify_backup
    from nssbackup.backups.writing import Dialogue
    from nssbackup.errors import NssBackupError
    from nssbackup.identity.pem import read_certificates
    from nssbackup.pkcs12 import PfxWriters
    from nssbackup.profiles import (
        applications_named,
        find_left_behind,
        find_profiles,
        resolve_profiles,
    )
    from nssbackup.secret import Secret
    from nssbackup.stores.containers import resolve
    from nssbackup.stores.inventory import take_inventory

_MODULES = {
    "Dialogue": "backups.writing",
    "ExportOptions": "backups.export",
    "MailOptions": "backups.mail",
    "NssBackupError": "errors",
    "PfxWriters": "pkcs12",
    "RepasswordOptions": "backups.repassword",
    "Secret": "secret",
    "applications_named": "profiles",
    "export_all": "backups.export",
    "export_certificate": "backups.export",
    "export_identity": "backups.export",
    "find_left_behind": "profiles",
    "find_profiles": "profiles",
    "read_certificates": "identity.pem",
    "repassword_backup": "backups.repassword",
    "resolve": "stores.containers",
    "resolve_profiles": "profiles",
    "take_inventory": "stores.inventory",
    "verify_backup": "backups.verify",
}

__all__ = [
    "Dialogue",
    "ExportOptions",
    "MailOptions",
    "NssBackupError",
    "PfxWriters",
    "RepasswordOptions",
    "Secret",
    "applications_named",
    "export_all",
    "export_certificate",
    "export_identity",
    "find_left_behind",
    "find_profiles",
    "read_certificates",
    "repassword_backup",
    "resolve",
    "resolve_profiles",
    "take_inventory",
    "verify_backup",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
