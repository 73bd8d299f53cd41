"""What can go wrong with a fleet, beyond what can go wrong on each of its computers."""

from __future__ import annotations

from nssbackup.errors import NssBackupError, UsageError


class FleetUnavailableError(UsageError):
    """Ansible is not installed here."""

    code = "fleet-unavailable"
    default_hint = "install it beside nssbackup: `pip install 'nssbackup[fleet]'`"


class AnsibleError(UsageError):
    """Ansible could not begin: the inventory, the limit or its configuration is wrong."""

    code = "ansible"


class HostError(NssBackupError):
    """A host has no report of its own."""

    code = "host-failed"
    exit_status = 3


class HostUnreachableError(HostError):
    """A host could not be reached."""

    code = "host-unreachable"
    default_hint = "check that it is switched on and that `ansible -m ping` reaches it"


class FleetStuckError(HostError):
    """Ansible came to no end: what is home stays, and there is no report of all hosts."""

    code = "fleet-stuck"
    default_hint = "run it again: what came home is there, and every host's own report beside it"
