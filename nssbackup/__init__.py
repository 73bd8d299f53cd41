"""Back up a client certificate and its private key from a Firefox profile, without NSS.

The library never prints, asks, reads the environment or exits: it takes values and callables and
returns reports. Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nssbackup.backups.export import ExportOptions, export_identity
    from nssbackup.backups.verify import verify_backup
    from nssbackup.backups.writing import Dialogue
    from nssbackup.errors import NssBackupError
    from nssbackup.pkcs12 import PfxWriters
    from nssbackup.profiles import find_profiles, resolve_profile
    from nssbackup.secret import Secret
    from nssbackup.stores.inventory import take_inventory

__all__ = [
    "Dialogue",
    "ExportOptions",
    "NssBackupError",
    "PfxWriters",
    "Secret",
    "export_identity",
    "find_profiles",
    "resolve_profile",
    "take_inventory",
    "verify_backup",
]

_MODULES = {
    "Dialogue": "backups.writing",
    "ExportOptions": "backups.export",
    "NssBackupError": "errors",
    "PfxWriters": "pkcs12",
    "Secret": "secret",
    "export_identity": "backups.export",
    "find_profiles": "profiles",
    "resolve_profile": "profiles",
    "take_inventory": "stores.inventory",
    "verify_backup": "backups.verify",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
