"""Bare `nssbackup` on a terminal: a backup, question by question, then the same as `export`."""

from __future__ import annotations

from collections.abc import Callable

from nssbackup.backups.export import ExportOptions, export_identity
from nssbackup.backups.writing import Dialogue
from nssbackup.cli import passwords
from nssbackup.cli.commands.doctor import examine
from nssbackup.cli.guided.plan import Plan, ask_copy, ask_destination, ask_file, new_folders
from nssbackup.cli.options import Search, search
from nssbackup.cli.printer import Printer
from nssbackup.cli.questions import agreed, select_on
from nssbackup.cli.tables import identity_lines
from nssbackup.cli.text import show_export, show_findings
from nssbackup.diagnosis.selection import identity_warnings
from nssbackup.errors import CancelledError, NssBackupError
from nssbackup.identity.choosing import Choice, choose
from nssbackup.identity.model import Identity, PasswordFor, Profile
from nssbackup.pkcs12.write import PfxWriters
from nssbackup.secret import Secret, generate, weakness
from nssbackup.stores.inventory import take_inventory

_WELCOME = (
    "This backs up your certificate together with its private key. Nothing in Firefox is changed,"
    " and nothing is written until you agree. Ctrl-C stops at any time."
)
_PROTECTION = (
    "The backup gets its own password, which you need to import it. Nobody can recover that"
    " password. Four random words make a good one."
)


def guide() -> None:
    """Ask what has to be asked, show what will be done, and do it.

    Raises:
        NssBackupError: any of them; then nothing was written, or only whole and verified files.
    """
    printer = Printer()
    warn = _once(printer.warn)
    printer.say(_WELCOME)
    printer.say()
    destination = ask_destination(printer)
    found, choice = _find(printer, warn)
    identity = choice.identity
    plan = ask_copy(printer, ask_file(printer, identity, destination))

    def writers(identity: Identity) -> PfxWriters:
        # Asked last, when it is known that the key can be read and the files can be written.
        password = _backup_password(printer, identity)
        _agree(printer, identity, plan)
        printer.say("Writing the backup, and opening it again to check it ...")
        return PfxWriters.start(password, destination.formats, destination.rounds)

    options = ExportOptions(
        certificate=identity.certificate.sha256,
        output=str(plan.file),
        formats=destination.formats,
        copies=plan.copies,
        replace=bool(plan.replaced),
    )
    dialogue = Dialogue(primary_password=_primary_password(printer), pfx_writers=writers, warn=warn)
    with new_folders((plan.folder, *plan.copies)):
        report = export_identity(found.profiles, options, dialogue, found.left_behind)
    printer.say()
    show_export(report, printer)


def _find(printer: Printer, warn: Callable[[str], None]) -> tuple[Search, Choice]:
    """Return the certificate to back up; if there is none, show what the doctor finds."""
    printer.say()
    printer.say("Looking for certificates ...")
    try:
        found = search(None, None, printer)
        inventory = take_inventory(found.profiles, left_behind=found.left_behind)
        for failure in inventory.failures:
            of = failure.profile.name
            warn(f"profile `{of}` was skipped: {failure.error.message}")
        choice = choose(inventory.identities, None, select_on(printer))
    except CancelledError:
        raise
    except NssBackupError:
        printer.say()
        show_findings(examine(None, None, None, printer), (), printer)
        printer.say()
        raise
    printer.say("Found:")
    for line in identity_lines(choice.identity):
        printer.say(line)
    for note in choice.notes:
        printer.say(f"Note: {note}")
    for warning in (
        *inventory.notes_on(choice.identity),
        *identity_warnings(choice.identity),
    ):
        warn(warning)
    return found, choice


def _primary_password(printer: Printer) -> PasswordFor:
    """Return the function that asks for a Primary Password, and says first what that is."""
    ask = passwords.primary_password(None)

    def answer(profile: Profile, attempt: int) -> Secret | None:
        if attempt == 0:
            printer.say()
            printer.say(f"{profile.application} protects the key with its Primary Password.")
        return ask(profile, attempt)

    return answer


def _backup_password(printer: Printer, identity: Identity) -> Secret:
    """Return the backup password, asked for twice or generated."""
    printer.say()
    printer.say(_PROTECTION)
    subject = "the backup password"
    while True:
        password = passwords.ask("New password for the backup (Enter to generate one)")
        if not password:
            return _generated(printer)
        if (unusable := passwords.why_unusable(password)) is not None:
            printer.warn(unusable)
            continue
        for doubt in (
            weakness(password, identity.names),
            passwords.trailing_blank(password),
        ):
            if doubt is not None:
                printer.warn(doubt)
                if not agreed(printer, "Keep it anyway?", subject, default=False):
                    break
        else:
            if password.reveal() == passwords.ask("The same again").reveal():
                return password
            printer.warn("the two passwords differ")


def _generated(printer: Printer) -> Secret:
    """Return a generated password, once it was typed back."""
    password = generate()
    printer.generated_password(password)
    printer.say("It is shown only this once. Write it down, and keep it apart from the backup.")
    while passwords.ask("Type it here as you wrote it down").reveal() != password.reveal():
        printer.question("That is not the password shown above.")
    return password


def _agree(printer: Printer, identity: Identity, plan: Plan) -> None:
    """Show what will be done, and ask whether to go on.

    Raises:
        CancelledError: the answer is no.
    """
    chain = len(identity.chain)
    printer.say()
    printer.say("This will be done:")
    printer.say(
        f"  Back up      {identity.display_name}, issued by {identity.certificate.issuer_name},"
        f" with the private key and {chain} CA certificate{'' if chain == 1 else 's'}"
    )
    for label, files in (("File", plan.files), ("Second copy", plan.second_files)):
        for file in files:
            note = " (replaces the one there)" if file in plan.replaced else ""
            printer.say(f"  {label:<11}  {file}{note}")
    printer.say(f"  Opens in     {plan.destination.title}")
    if not agreed(printer, "Go on?", "whether to go on", default=True):
        message = "cancelled; nothing was written"
        raise CancelledError(message)


def _once(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that tells each line only once: `export` repeats what was said before."""
    told: set[str] = set()

    def tell_once(line: str) -> None:
        if line not in told:
            told.add(line)
            tell(line)

    return tell_once
