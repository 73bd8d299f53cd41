"""The draft message: what is in it, what never is, and that mail programs can open it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import compat32, default
from email.utils import collapse_rfc2231_value
from pathlib import Path
from urllib.parse import unquote

import pytest

from nssbackup.backups.export import ExportOptions, export_identity
from nssbackup.backups.mail import MailDraft, MailOptions, WeakPasswordError
from nssbackup.backups.writing import Dialogue
from nssbackup.errors import OutputError, OutputExistsError, UsageError, VerificationError
from nssbackup.identity.certificate import from_der
from nssbackup.identity.model import Identity, Profile
from nssbackup.pkcs12 import PfxWriters
from nssbackup.report import WrittenFile
from nssbackup.secret import Secret
from nssbackup.system.files import write_verified
from tests.builders.store import StoreBuilder, ec_key, issue, name, rsa_key

PFX = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(100))
WIPO = name("WIPO Test CA", "WIPO")
STRONG, WEAK = Secret("Correct-Horse-Battery-Staple-47"), Secret("Summer2026")

# Names that break what is careless about names.
NAMES = [
    "Jane Doe",
    "Zoë Müller",
    "密码 🔑",
    "a; b=\"c\" 'd' \\ <e@f> (g), h:i",
    "100% =?utf-8?q?not_encoded?=",
    "two\r\nBcc: eve@example.com\r\n\r\nlines",
    "tab\there\x00\x1b[31m\x7f",
    "\u202egnp.exe \u200b\ufeff",
    "\udcff\ud83d",
    "n" * 300,
    "ü" * 100,
    ".",
    " ",
]


def identity(common_name: str = "Jane Doe", days: tuple[int, int] = (-30, 300)) -> Identity:
    certificate = from_der(issue(ec_key(), "Jane", WIPO, rsa_key(9), days=days))
    return Identity(None, replace(certificate, common_name=common_name))


def written(path: Path, data: bytes = PFX, format_: str = "modern") -> WrittenFile:
    path.write_bytes(data)
    return WrittenFile(path, (), format_, hashlib.sha256(data).hexdigest(), len(data))


def drafted(
    folder: Path, *files: WrittenFile, of: Identity | None = None, to: tuple[str, ...] = ()
) -> bytes:
    """The bytes of a message with these files."""
    of = of or identity()
    draft = MailDraft.of(MailOptions(str(folder / "draft"), to), replace=True)
    draft.write(draft.path(of), of, files)
    return (folder / "draft.eml").read_bytes()


def parsed(data: bytes) -> EmailMessage:
    message = message_from_bytes(data, policy=default)
    assert message.defects == []
    for part in message.walk():
        assert part.defects == []
    return message


def text_of(data: bytes) -> str:
    body = parsed(data).get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def attachments(data: bytes) -> list[tuple[str | None, bytes]]:
    return [(part.get_filename(), part.get_content()) for part in parsed(data).iter_attachments()]


# --- what is in it


def test_the_file_is_attached_whole_under_its_name(tmp_path: Path) -> None:
    data = drafted(tmp_path, written(tmp_path / "Jane Doe.pfx"))
    assert attachments(data) == [("Jane Doe.pfx", PFX)]
    (part,) = parsed(data).iter_attachments()
    assert part.get_content_type() == "application/x-pkcs12"
    assert part.get_content_disposition() == "attachment"


def test_both_files_of_any_destination_are_attached(tmp_path: Path) -> None:
    modern = written(tmp_path / "a.pfx")
    compatible = written(tmp_path / "a.compatible.pfx", PFX[::-1], "compatible")
    data = drafted(tmp_path, modern, compatible)
    assert attachments(data) == [("a.pfx", PFX), ("a.compatible.pfx", PFX[::-1])]
    text = text_of(data)
    for file in (modern, compatible):
        assert file.path.name in text
        assert file.sha256 in text
    assert text.index("for Firefox") < text.index("for macOS")
    assert "Keychain Access" in text


def test_a_modern_file_is_not_said_to_open_on_a_mac(tmp_path: Path) -> None:
    text = text_of(drafted(tmp_path, written(tmp_path / "a.pfx")))
    assert "Keychain Access" not in text
    assert "--for macos" in text


def test_the_text_says_what_it_is_whose_and_until_when(tmp_path: Path) -> None:
    who = identity("Zoë Müller")
    text = text_of(drafted(tmp_path, written(tmp_path / "a.pfx"), of=who))
    certificate = who.certificate
    for part in (
        "Certificate: Zoë Müller\n",
        "Issued by: WIPO Test CA\n",
        f"Valid until {certificate.not_after:%Y-%m-%d}\n",
        certificate.sha256,
        hashlib.sha256(PFX).hexdigest(),
        "The password is not in this\nmessage. Do not send it along",
        "Windows: double-click",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) < 80


def test_the_end_of_an_expired_certificate_is_said_as_such(tmp_path: Path) -> None:
    of = identity(days=(-900, -1))
    data = drafted(tmp_path, written(tmp_path / "a.pfx"), of=of)
    assert f"Expired on {of.certificate.not_after:%Y-%m-%d}" in text_of(data)
    assert "expired on" in str(parsed(data)["Subject"])


def test_it_is_a_draft_without_what_only_a_sender_can_say(tmp_path: Path) -> None:
    message = parsed(drafted(tmp_path, written(tmp_path / "a.pfx")))
    assert message["X-Unsent"] == "1"
    assert message["MIME-Version"] == "1.0"
    assert "Jane Doe" in message["Subject"]
    assert set(message.keys()) == {"Subject", "X-Unsent", "MIME-Version", "Content-Type"}


@pytest.mark.parametrize(
    "to",
    [
        ("jane@example.com",),
        ("jane.o'neil+backup@mail.example-firm.co.uk", "root@localhost"),
        ("a@b", "A_1!#$%&*/=?^`{|}~-@c.d"),
        ("x" * 60 + "@" + "y" * 60 + ".example",) * 20,
    ],
)
def test_it_is_to_whom_the_user_names(tmp_path: Path, to: tuple[str, ...]) -> None:
    message = parsed(drafted(tmp_path, written(tmp_path / "a.pfx"), to=to))
    assert [address.addr_spec for address in message["To"].addresses] == list(to)


@pytest.mark.parametrize(
    "address",
    [
        *("", " ", "jane", "@example.com", "jane@", "jane@@example.com", "a@b@c"),
        *("jane@example.com\r\nBcc: eve@example.com", "jane@example.com\n", "\njane@example.com"),
        *("jane@example.com,eve@example.com", "Jane <jane@example.com>", "jane @example.com"),
        *("jane@example..com", ".jane@example.com", "jane.@example.com", "jane@.com"),
        *('"jane doe"@example.com', "jäne@example.com", "jane@exämple.com", "jane@[127.0.0.1]"),
        *("x" * 250 + "@example.com", "jane\x00@example.com", "jane@example.com\udcff"),
    ],
)
def test_what_is_no_address_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError) as info:
        MailOptions("a", ("jane@example.com", address))
    assert "is not a mail address" in info.value.message
    assert "--mail-to" in (info.value.hint or "")


# --- names


@pytest.mark.parametrize("common_name", NAMES)
def test_a_name_stays_on_its_line(tmp_path: Path, common_name: str) -> None:
    of = identity(common_name)
    of = replace(of, certificate=replace(of.certificate, issuer_name=common_name))
    data = drafted(tmp_path, written(tmp_path / "a.pfx"), of=of)
    message = parsed(data)
    assert set(message.keys()) == {"Subject", "X-Unsent", "MIME-Version", "Content-Type"}
    assert str(message["Subject"]).strip().isprintable()
    lines = text_of(data).splitlines()
    assert len(lines) == len(text_of(drafted(tmp_path, written(tmp_path / "a.pfx"))).splitlines())
    assert all(line.isprintable() for line in lines)
    assert attachments(data) == [("a.pfx", PFX)]


@pytest.mark.posix("Windows allows no such names")
@pytest.mark.parametrize(
    "stem",
    ["\udcff not UTF-8", *(one for one in NAMES if "\0" not in one and "\ud83d" not in one)],
)
def test_any_name_of_a_file_comes_back_or_a_safe_one(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem[:80]}.pfx"
    file = written(path)
    ((found, content),) = attachments(drafted(tmp_path, file))
    assert content == PFX
    assert found is not None
    assert found.endswith(".pfx")
    assert found.isprintable()
    assert not set(found) & set('<>:"/\\|?*')
    if re.fullmatch(r"\w[\w .%=]*", path.name):
        assert found == path.name


@pytest.mark.parametrize(
    "stem", ["Jane Doe", "Zoë Müller-WIPO Customer CA G2-2056-05-01", "密码" * 20]
)
def test_an_older_parser_finds_the_same(tmp_path: Path, stem: str) -> None:
    """Python's first mail parser, which shares no header code with the one that wrote it."""
    data = drafted(tmp_path, written(tmp_path / f"{stem}.pfx"), to=("jane@example.com",))
    message: Message = message_from_bytes(data, policy=compat32)
    assert message["To"] == "jane@example.com"
    _, text, attached = message.walk()
    said = text.get_payload(decode=True)
    assert isinstance(said, bytes)
    assert said.replace(b"\r\n", b"\n").decode() == text_of(data)
    assert attached.get_payload(decode=True) == PFX
    given = attached.get_param("filename", header="Content-Disposition")
    assert given is not None
    assert unquote(collapse_rfc2231_value(given)) == f"{stem}.pfx"


# --- bytes


@pytest.mark.parametrize("common_name", NAMES)
def test_the_bytes_are_those_of_mail(tmp_path: Path, common_name: str) -> None:
    file = written(tmp_path / f"{'Zoë ' * 15}.pfx", os.urandom(20_000))
    data = drafted(tmp_path, file, of=identity(common_name), to=("jane@example.com",) * 30)
    assert data.isascii()
    assert data.endswith(b"\r\n")
    assert data.count(b"\r") == data.count(b"\n") == data.count(b"\r\n")
    assert max(map(len, data.split(b"\r\n"))) <= 998
    head = data.partition(b"\r\n\r\n")[0]
    assert b"\r\n\r\n" not in head
    assert all(re.match(rb"[A-Za-z-]+:|[ \t]+\S", line) for line in head.split(b"\r\n"))


@pytest.mark.posix("it looks at file modes")
def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    drafted(tmp_path, written(tmp_path / "a.pfx"))
    assert (tmp_path / "draft.eml").stat().st_mode & 0o7777 == 0o600


# --- where it goes


@pytest.mark.parametrize(
    ("given", "path"),
    [
        *(("a", "a.eml"), ("a.eml", "a.eml"), ("a.EML", "a.EML"), ("a.pfx", "a.pfx.eml")),
        ("folder/", "folder/Jane Doe-WIPO Test CA-{end}.eml"),
        ("folder", "folder/Jane Doe-WIPO Test CA-{end}.eml"),
    ],
)
def test_eml_is_added_to_the_name(tmp_path: Path, given: str, path: str) -> None:
    (tmp_path / "folder").mkdir()
    of = identity()
    draft = MailDraft.of(MailOptions(f"{tmp_path}/{given}"))
    end = f"{of.certificate.not_after:%Y-%m-%d}"
    assert draft.path(of) == tmp_path / path.format(end=end)


def test_a_file_is_replaced_only_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(b"theirs")
    options = MailOptions(str(tmp_path / "a"))
    with pytest.raises(OutputExistsError) as info:
        MailDraft.of(options)
    assert "--eml" in (info.value.hint or "")
    draft = MailDraft.of(options, replace=True)
    draft.write(draft.path(identity()), identity(), [written(tmp_path / "a.pfx")])
    assert (tmp_path / "a.eml").read_bytes() != b"theirs"


def test_a_taken_default_name_is_found_before_writing(tmp_path: Path) -> None:
    of = identity()
    draft = MailDraft.of(MailOptions(f"{tmp_path}/"))
    draft.path(of).write_bytes(b"theirs")
    with pytest.raises(OutputExistsError) as info:
        draft.path(of)
    assert "--eml" in (info.value.hint or "")


def test_a_folder_that_is_missing_is_found_out_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as info:
        MailDraft.of(MailOptions(str(tmp_path / "no" / "a")))
    assert "--eml" in (info.value.hint or "")


# --- what is not let out


def test_a_weak_password_is_refused_unless_that_is_insisted_on() -> None:
    MailOptions("a").check_password(STRONG)
    with pytest.raises(WeakPasswordError) as info:
        MailOptions("a").check_password(WEAK)
    assert (info.value.code, info.value.exit_status) == ("weak-password", 2)
    assert "--force" in (info.value.hint or "")
    assert WEAK.reveal() not in info.value.message
    MailOptions("a", weak_password=True).check_password(WEAK)


@pytest.mark.parametrize(("password", "insist"), [(WEAK, False), (WEAK, True), (STRONG, False)])
def test_the_library_lets_no_weak_one_out_either(
    tmp_path: Path, password: Secret, *, insist: bool
) -> None:
    builder = StoreBuilder(tmp_path / "store")
    builder.add_identity(ec_key(), issue(ec_key(), "Jane Doe", WIPO, rsa_key(9)))
    profile = Profile(builder.write(), "store", "Firefox", store="sqlite")
    out = tmp_path / "out"
    out.mkdir()
    options = ExportOptions(
        output=str(out / "a"), mail=MailOptions(str(out / "a"), weak_password=insist)
    )
    pfx_writers = PfxWriters.start(password, options.formats, 2048)
    dialogue = Dialogue(lambda *_: None, lambda _: pfx_writers)
    if password is WEAK and not insist:
        with pytest.raises(WeakPasswordError):
            export_identity([profile], options, dialogue)
        assert list(out.iterdir()) == []
        return
    report = export_identity([profile], options, dialogue)
    assert report.eml == out / "a.eml"
    assert report.to_json()["eml"] == str(out / "a.eml")
    assert attachments(report.eml.read_bytes()) == [("a.pfx", (out / "a.pfx").read_bytes())]


def _changed(path: Path) -> None:
    path.write_bytes(PFX[:-1] + b"x")


def _longer(path: Path) -> None:
    path.write_bytes(PFX + PFX)


@pytest.mark.parametrize("change", [_changed, _longer])
def test_a_backup_that_changed_is_not_attached(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    file = written(tmp_path / "a.pfx")
    change(file.path)
    with pytest.raises(VerificationError, match="changed after it was written"):
        drafted(tmp_path, file)
    assert not (tmp_path / "draft.eml").exists()


def test_a_backup_that_is_gone_is_an_error(tmp_path: Path) -> None:
    file = written(tmp_path / "a.pfx")
    file.path.unlink()
    with pytest.raises(OutputError, match="can't be read again"):
        drafted(tmp_path, file)


def test_a_message_that_was_written_wrongly_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that keeps something else than it was given."""

    def spoiling(path: Path, data: bytes, check: Callable[[Path], None], *, replace: bool) -> None:
        write_verified(path, data.replace(b"jane@", b"eve@"), check, replace=replace)

    monkeypatch.setattr("nssbackup.backups.mail.write_verified", spoiling)
    with pytest.raises(VerificationError, match="changed after it was written"):
        drafted(tmp_path, written(tmp_path / "a.pfx"), to=("jane@example.com",))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pfx"]
