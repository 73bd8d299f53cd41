"""Bare `nssbackup` on a terminal: a backup, question by question, then the same as `export`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nssbackup.cli import passwords
from nssbackup.cli.output import Output
from nssbackup.secret import weakness

if TYPE_CHECKING:
    from nssbackup.cli.guided.placing import Plan
    from nssbackup.cli.scope import Scope
    from nssbackup.identity.choosing import Choice
    from nssbackup.identity.model import Identity, PasswordFor, Profile
    from nssbackup.pkcs12 import PfxWriters
    from nssbackup.secret import Secret

_WELCOME = (
    "This makes a backup of your certificate together with its private key. Nothing in Firefox is",
    "changed, and nothing is written before you have agreed. Ctrl-C stops at any time.",
)
_PROTECTION = (
    "The backup gets a password of its own, which is asked for when the backup is imported. Nobody",
    "can recover that password. Four random words make a good one.",
)

_DOCTOR = "`nssbackup doctor` explains what was found and what to do next"


def guided() -> None:
    """Ask what has to be asked, show what will be done, and do it.

    Raises:
        NssBackupError: any of them; then no file was written, or only whole and verified ones.
    """
    from nssbackup.backups.export import ExportOptions, export_identity
    from nssbackup.backups.writing import Dialogue
    from nssbackup.cli.guided.places import new_folders
    from nssbackup.cli.guided.placing import ask_copy, ask_place
    from nssbackup.cli.summaries import show_export
    from nssbackup.pkcs12 import MODERN, PfxWriters

    talk = Output()
    warn = _once(talk.warn)
    for line in (*_WELCOME, ""):
        talk.say(line)
    looked_at, choice = _find(talk, warn)
    identity = choice.identity
    plan = ask_copy(talk, ask_place(talk, identity))
    formats = plan.destination.formats if plan.destination else (MODERN,)

    def pfx_writers() -> PfxWriters:
        # Last, when it is known that the key can be had and the files can be written.
        password = _backup_password(talk)
        _agree(talk, identity, plan)
        talk.say("Writing the backup, and opening it again to check it ...")
        return PfxWriters.start(password, formats)

    with new_folders((plan.folder, *plan.copies)):
        report = export_identity(
            looked_at.profiles,
            ExportOptions(
                certificate=identity.certificate.sha256,
                output=str(plan.file),
                formats=formats,
                copies=plan.copies,
                replace=bool(plan.replaced),
            ),
            Dialogue(
                primary_password=_primary_password(talk),
                pfx_writers=pfx_writers,
                warn=warn,
            ),
            looked_at.left_behind,
        )
    talk.say()
    show_export(report, talk)


def _find(talk: Output, warn: Callable[[str], None]) -> tuple[Scope, Choice]:
    """The certificate to back up, shown."""
    from nssbackup.cli.guided.questions import select
    from nssbackup.cli.scope import scope
    from nssbackup.diagnosis.warnings import identity_warnings
    from nssbackup.errors import CancelledError, NssBackupError
    from nssbackup.identity.choosing import choose
    from nssbackup.stores.inventory import take_inventory

    talk.say("Looking for certificates ...")
    try:
        looked_at = scope(None, None, talk)
        inventory = take_inventory(looked_at.profiles, left_behind=looked_at.left_behind)
        for failure in inventory.failures:
            of = failure.profile.name
            warn(f"profile `{of}` was passed over: {failure.error.message}")
        choice = choose(inventory.identities, None, select(talk))
    except CancelledError:
        raise
    except NssBackupError as error:
        error.hint = f"{error.hint}; {_DOCTOR}" if error.hint else _DOCTOR
        raise
    identity = choice.identity
    certificate, profile = identity.certificate, identity.profile
    talk.say(f"Found: {identity.display_name}")
    talk.say(f"  issued by    {certificate.issuer_name}")
    talk.say(f"  valid until  {certificate.not_after:%Y-%m-%d}")
    if profile is not None:
        talk.say(f"  found in     {profile.application}, profile `{profile.name}`")
    for note in choice.notes:
        talk.say(f"Note: {note}")
    for warning in (*inventory.notes_on(identity), *identity_warnings(identity)):
        warn(warning)
    return looked_at, choice


def _primary_password(talk: Output) -> PasswordFor:
    """Ask for an application's Primary Password, and say first what that is."""
    ask = passwords.primary_password(None)

    def answer(profile: Profile, attempt: int) -> Secret | None:
        if attempt == 0:
            talk.say()
            talk.say(f"{profile.application} protects the key with its Primary Password.")
        return ask(profile, attempt)

    return answer


def _backup_password(talk: Output) -> Secret:
    """Ask for the backup password, twice, or make one up."""
    from nssbackup.cli.guided.questions import agreed

    for line in ("", *_PROTECTION):
        talk.say(line)
    while True:
        password = passwords.ask("New password for the backup (Enter to have one made up)")
        if not password:
            return _made_up(talk)
        if weak := weakness(password):
            talk.warn(weak)
            if not agreed(talk, "Keep it anyway?", "the backup password", default=False):
                continue
        if password.reveal() == passwords.ask("The same again").reveal():
            return password
        talk.question("The two passwords differ: please type both again.")


def _made_up(talk: Output) -> Secret:
    """Make a password up, and see to it that it is written down."""
    from nssbackup.cli.guided.questions import agreed

    password = passwords.generate()
    talk.secret("Password of the backup", password.reveal())
    talk.say("It is shown only this once. Write it down, and keep it apart from the backup.")
    while not agreed(talk, "Have you written it down?", "the backup password", default=False):
        talk.question("Please write it down first: without it the backup can't be opened.")
    return password


def _agree(talk: Output, identity: Identity, plan: Plan) -> None:
    """Show what will be done and ask whether to go on.

    Raises:
        CancelledError: the answer is no.
    """
    from nssbackup.cli.guided.questions import agreed
    from nssbackup.errors import CancelledError

    certificate = identity.certificate
    chain = len(identity.chain)
    talk.say()
    talk.say("This will be done:")
    talk.say(
        f"  Back up      {identity.display_name}, issued by {certificate.issuer_name}, with the"
        f" private key and {chain} CA certificate{'' if chain == 1 else 's'}"
    )
    for label, file in (
        ("File", plan.file),
        *(("Second copy", copy / plan.name) for copy in plan.copies),
    ):
        note = " (replaces the one there)" if file in plan.replaced else ""
        talk.say(f"  {label:<11}  {file}{note}")
    if plan.pct_safe:
        talk.say("  Opens in     PCT-SAFE, Firefox, Windows and the macOS Keychain")
    else:
        talk.say("  Opens in     Firefox and Windows 10 or later. For the Keychain of macOS or an")
        talk.say("               older Windows answer n, and type `nssbackup export --for macos`")
        talk.say("               or `nssbackup export --for windows-old` instead.")
    if not agreed(talk, "Go on?", "whether to go on", default=True):
        message = "cancelled; nothing was written"
        raise CancelledError(message)


def _once(tell: Callable[[str], None]) -> Callable[[str], None]:
    """The same, but each line only the first time: `export` finds again what was told before."""
    told: set[str] = set()

    def tell_once(line: str) -> None:
        if line not in told:
            told.add(line)
            tell(line)

    return tell_once
