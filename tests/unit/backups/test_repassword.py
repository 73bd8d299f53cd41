"""Repassword as a library: what is asked when, what is kept, and when the file stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from nssbackup.backups.repassword import RepasswordOptions, repassword_backup
from nssbackup.backups.writing import Dialogue
from nssbackup.errors import (
    BackupError,
    CancelledError,
    NssBackupError,
    OutputError,
    OutputExistsError,
    UsageError,
    VerificationError,
    WrongBackupPasswordError,
)
from nssbackup.identity.certificate import from_der
from nssbackup.identity.choosing import NoMatchError, Select
from nssbackup.identity.model import Identity
from nssbackup.identity.private_keys import from_pkcs8
from nssbackup.pkcs12 import (
    COMPATIBLE,
    MODERN,
    Format,
    PfxContents,
    PfxWriter,
    PfxWriters,
    open_pfx,
)
from nssbackup.report import ExportReport
from nssbackup.secret import Secret
from tests.builders.store import ec_key, issue
from tests.conftest import SnapshotOf
from tests.unit.pkcs12.identities import pfx_of, pkcs8_of

OLD, NEW = Secret("WIPO-made-4711"), Secret("my own Pässwörd 🔑")
ROUNDS = 2_048
CA_KEY, JANE, ZOE = ec_key(8), ec_key(0), ec_key(1)
CA = issue(CA_KEY, "CA", ca=True)
JANES = issue(JANE, "Jane Doe", "CA", CA_KEY)
ZOES = issue(ZOE, "Zoë", "CA", CA_KEY)
EXPIRED = issue(JANE, "Jane Doe", "CA", CA_KEY, days=(-90, -3))


JANES_FILE = pfx_of([JANE], [JANES, CA], OLD)
SHARED_KEY = pfx_of([JANE], [EXPIRED, JANES, CA], OLD)
TWO_PEOPLE = pfx_of([JANE, ZOE], [JANES, CA, ZOES], OLD)
RENEWED = pfx_of(
    [ZOE, JANE], [EXPIRED, JANES, CA, issue(ZOE, "Jane Doe", "CA", CA_KEY, days=(-20, 400))], OLD
)


class Asked:
    """Answers the questions of one run and remembers them."""

    def __init__(
        self, *old: Secret | None, new: Secret | BaseException = NEW, select: Select | None = None
    ) -> None:
        self.old = list(old or (OLD,))
        self.new = new
        self.questions: list[str] = []
        self.warnings: list[str] = []
        self.select = select
        self.formats: tuple[Format, ...] = (MODERN,)

    def old_password(self, path: Path, attempt: int) -> Secret | None:
        self.questions.append(f"old {path.name} {attempt}")
        return self.old[attempt]

    def pfx_writers(self, _identity: Identity) -> PfxWriters:
        self.questions.append("new")
        if isinstance(self.new, BaseException):
            raise self.new
        return PfxWriters.start(self.new, self.formats, ROUNDS)

    def run(self, path: Path, options: RepasswordOptions | None = None) -> ExportReport:
        options = RepasswordOptions() if options is None else options
        self.formats = options.formats
        dialogue = Dialogue(
            primary_password=lambda _profile, _attempt: pytest.fail("no profile is opened"),
            pfx_writers=self.pfx_writers,
            select=self.select,
            warn=self.warnings.append,
        )
        return repassword_backup(path, options, self.old_password, dialogue)


def written(tmp_path: Path, content: bytes = JANES_FILE, name: str = "old.p12") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    path.chmod(0o644)
    return path


def contents_of(path: Path, password: Secret = NEW) -> PfxContents:
    return open_pfx(path.read_bytes(), password)


def identity_of(path: Path) -> Identity:
    identity = contents_of(path).identity
    assert identity is not None
    return identity


IN_PLACE = RepasswordOptions(replace=True)

# --- what is written


def test_the_identity_is_the_same_under_the_new_password(tmp_path: Path) -> None:
    path, output = written(tmp_path), tmp_path / "new.pfx"
    report = Asked().run(path, RepasswordOptions(output=str(output)))
    assert path.read_bytes() == JANES_FILE
    contents = contents_of(output)
    assert contents.key == from_pkcs8(pkcs8_of(JANE))
    assert [found.certificate.der for found in contents.certificates] == [JANES, CA]
    assert report.identity.certificate.der == JANES
    assert [file.path for file in report.files] == [output]
    assert output.stat().st_mode & 0o777 == 0o600
    with pytest.raises(WrongBackupPasswordError):
        contents_of(output, OLD)


def test_in_place_the_file_is_replaced_and_private(tmp_path: Path) -> None:
    path = written(tmp_path)
    report = Asked().run(path, IN_PLACE)
    assert [file.path for file in report.files] == [path]
    assert identity_of(path).certificate.der == JANES
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["old.p12", "OLD.P12", "backup", "backup.old", ".hidden"])
def test_in_place_the_name_is_kept_whatever_its_ending(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name=name)
    Asked().run(path, IN_PLACE)
    assert sorted(tmp_path.iterdir()) == [path]
    assert identity_of(path).certificate.der == JANES


@pytest.mark.parametrize(
    ("name", "second"),
    [("old.p12", "old.compatible.p12"), ("backup", "backup.compatible")],
)
def test_both_formats_in_place(tmp_path: Path, name: str, second: str) -> None:
    path = written(tmp_path, name=name)
    report = Asked().run(path, replace(IN_PLACE, formats=(MODERN, COMPATIBLE)))
    assert [file.path.name for file in report.files] == [name, second]
    for file in report.files:
        assert identity_of(file.path).certificate.der == JANES
    assert contents_of(tmp_path / second).description.keys[0].name == COMPATIBLE.encryption


def test_the_same_password_in_another_format_needs_no_word(tmp_path: Path) -> None:
    writer = PfxWriter(OLD, MODERN, rounds=ROUNDS)
    identity = Identity(None, from_der(JANES), (from_der(CA),))
    path = written(tmp_path, writer.encode(identity, from_pkcs8(pkcs8_of(JANE))))
    asked = Asked(new=OLD)
    asked.run(path, replace(IN_PLACE, formats=(COMPATIBLE,)))
    assert contents_of(path, OLD).description.keys[0].name == COMPATIBLE.encryption
    assert asked.warnings == []


@pytest.mark.parametrize(("given_name", "expected"), [(None, "in the file"), ("mine", "mine")])
def test_the_friendly_name_is_kept_unless_there_is_another(
    tmp_path: Path, given_name: str | None, expected: str
) -> None:
    certificate = replace(from_der(JANES), nickname="in the file")
    writer = PfxWriter(OLD, MODERN, rounds=ROUNDS)
    identity = Identity(None, certificate, (replace(from_der(CA), nickname="the CA"),))
    path = written(tmp_path, writer.encode(identity, from_pkcs8(pkcs8_of(JANE))))
    Asked().run(path, replace(IN_PLACE, friendly_name=given_name))
    contents = contents_of(path)
    assert [found.friendly_name for found in contents.certificates] == [expected, "the CA"]
    assert contents.keys[0].friendly_name == expected


def test_the_chain_can_be_left_out(tmp_path: Path) -> None:
    path = written(tmp_path)
    asked = Asked()
    assert asked.run(path, replace(IN_PLACE, chain=False)).identity.chain == ()
    assert [found.certificate.der for found in contents_of(path).certificates] == [JANES]
    assert not any("left out" in warning for warning in asked.warnings)


def test_a_folder_gets_the_default_name_and_copies_are_written(tmp_path: Path) -> None:
    path = written(tmp_path)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    options = RepasswordOptions(output=str(folders[0]), copies=(folders[1],))
    (file,) = Asked().run(path, options).files
    assert file.path.name.startswith("Jane Doe-CA-")
    assert file.path.suffix == ".pfx"
    assert file.copies == (folders[1] / file.path.name,)
    for each in (file.path, *file.copies):
        assert identity_of(each).certificate.der == JANES
    assert path.read_bytes() == JANES_FILE


def test_an_expired_certificate_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, pfx_of([JANE], [EXPIRED, CA], OLD))
    asked = Asked()
    asked.run(path, IN_PLACE)
    assert any("expired on" in warning for warning in asked.warnings)


# --- links


def test_in_place_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()
    target = written(tmp_path / "usb")
    (tmp_path / "middle").symlink_to("usb/old.p12")
    link = tmp_path / "link.pfx"
    link.symlink_to("middle")
    (file,) = Asked().run(link, IN_PLACE).files
    assert file.path == target
    assert link.is_symlink()
    assert (tmp_path / "middle").is_symlink()
    assert identity_of(link).certificate.der == JANES
    assert not target.is_symlink()
    assert sorted(each.name for each in tmp_path.rglob("*.tmp")) == []


def test_a_link_named_as_output_is_replaced_and_the_file_stays(tmp_path: Path) -> None:
    path = written(tmp_path, TWO_PEOPLE)
    link = tmp_path / "link.pfx"
    link.symlink_to(path.name)
    options = RepasswordOptions(output=str(link), certificate="Jane Doe", replace=True)
    Asked().run(path, options)
    assert not link.is_symlink()
    assert path.read_bytes() == TWO_PEOPLE


# --- when it asks


def test_the_old_password_is_asked_for_before_the_new_one(tmp_path: Path) -> None:
    asked = Asked(Secret("wrong"), Secret(""), OLD)
    asked.run(written(tmp_path), IN_PLACE)
    assert asked.questions == ["old old.p12 0", "old old.p12 1", "old old.p12 2", "new"]


@pytest.mark.parametrize("answers", [(None,), (Secret("wrong"), None)])
def test_without_the_right_old_password_nothing_is_written(
    tmp_path: Path, snapshot_of: SnapshotOf, answers: tuple[Secret | None, ...]
) -> None:
    path = written(tmp_path)
    before = snapshot_of(tmp_path)
    asked = Asked(*answers)
    with pytest.raises(WrongBackupPasswordError):
        asked.run(path, IN_PLACE)
    assert "new" not in asked.questions
    assert snapshot_of(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "options", "error"),
    [
        (JANES_FILE, RepasswordOptions(), OutputExistsError),
        (JANES_FILE, RepasswordOptions(output="{}/old.p12"), OutputExistsError),
        (JANES_FILE, RepasswordOptions(output="{}/missing/new.pfx"), OutputError),
        (JANES_FILE, RepasswordOptions(output="{}", copies=(Path("missing"),)), OutputError),
        (b"no PFX", IN_PLACE, BackupError),
        (b"", IN_PLACE, BackupError),
        (JANES_FILE[:-1], IN_PLACE, BackupError),
    ],
)
def test_nothing_is_asked_where_the_answer_could_not_help(
    tmp_path: Path,
    snapshot_of: SnapshotOf,
    content: bytes,
    options: RepasswordOptions,
    error: type[NssBackupError],
) -> None:
    path = written(tmp_path, content)
    before = snapshot_of(tmp_path)
    asked = Asked()
    if options.output is not None:
        options = replace(options, output=options.output.format(tmp_path))
    with pytest.raises(error):
        asked.run(path, options)
    assert asked.questions == []
    assert snapshot_of(tmp_path) == before


def test_a_taken_default_name_is_found_before_the_password(tmp_path: Path) -> None:
    path = written(tmp_path)
    options = RepasswordOptions(output=str(tmp_path))
    Asked().run(path, options)
    asked = Asked()
    with pytest.raises(OutputExistsError):
        asked.run(path, options)
    assert asked.questions == ["old old.p12 0"]


# --- the file stays


@pytest.mark.parametrize(
    ("keys", "certificates", "reason"),
    [
        ((), (JANES, CA), "no private key"),
        ((JANE,), (), "no certificate"),
        ((JANE,), (CA,), "no certificate"),
    ],
)
def test_what_is_no_identity_is_refused_as_verify_does(
    tmp_path: Path,
    snapshot_of: SnapshotOf,
    keys: tuple[ec.EllipticCurvePrivateKey, ...],
    certificates: tuple[bytes, ...],
    reason: str,
) -> None:
    path = written(tmp_path, pfx_of(keys, certificates, OLD))
    before = snapshot_of(tmp_path)
    asked = Asked()
    with pytest.raises(VerificationError, match=reason):
        asked.run(path, IN_PLACE)
    assert "new" not in asked.questions
    assert snapshot_of(tmp_path) == before


@pytest.mark.parametrize(
    "new", [CancelledError("cancelled"), KeyboardInterrupt("at the question"), Secret("")]
)
def test_the_old_file_survives_what_happens_at_the_new_password(
    tmp_path: Path, snapshot_of: SnapshotOf, new: Secret | BaseException
) -> None:
    path = written(tmp_path)
    before = snapshot_of(tmp_path)
    expected = type(new) if isinstance(new, BaseException) else UsageError
    with pytest.raises(expected):
        Asked(new=new).run(path, IN_PLACE)
    assert snapshot_of(tmp_path) == before


def test_the_old_file_survives_a_new_one_that_does_not_verify(
    tmp_path: Path, snapshot_of: SnapshotOf
) -> None:
    class Other(Asked):
        def pfx_writers(self, identity: Identity) -> PfxWriters:
            """PfxWriter at work on other rounds than it says."""
            return replace(super().pfx_writers(identity), rounds=4_096)

    path = written(tmp_path)
    before = snapshot_of(tmp_path)
    with pytest.raises(VerificationError, match=r"\(2\).*\(3\)"):
        Other().run(path, IN_PLACE)
    assert snapshot_of(tmp_path) == before


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error_and_stay(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = written(tmp_path_factory.mktemp("any"), data)
    with pytest.raises(NssBackupError):
        Asked().run(path, IN_PLACE)
    assert path.read_bytes() == data


# --- several in one file


def ders_of(path: Path) -> list[bytes]:
    return [found.certificate.der for found in contents_of(path).certificates]


@pytest.mark.parametrize(("content", "count"), [(TWO_PEOPLE, 2), (RENEWED, 3), (SHARED_KEY, 2)])
def test_all_identities_of_a_file_are_written(tmp_path: Path, content: bytes, count: int) -> None:
    path = written(tmp_path, content)
    before = open_pfx(content, OLD)
    report = Asked().run(path, IN_PLACE)
    assert len(report.identities) == count
    assert report.identity == report.identities[0]
    after = contents_of(path)
    assert [pair.fits for pair in after.pairs] == [True] * count
    assert {pair.key.key.pkcs8 for pair in after.pairs} == {each.key.pkcs8 for each in before.keys}
    assert sorted(ders_of(path)) == sorted(each.certificate.der for each in before.certificates)
    names = [each.friendly_name for each in after.keys]
    assert len(set(names)) == count


@pytest.mark.parametrize(("text", "der"), [("zoë", ZOES), ("Jane", JANES)])
def test_one_of_several_people_can_be_named(tmp_path: Path, text: str, der: bytes) -> None:
    path, output = written(tmp_path, TWO_PEOPLE), tmp_path / "new.pfx"
    Asked().run(path, RepasswordOptions(certificate=text, output=str(output)))
    contents = contents_of(output)
    assert [found.certificate.der for found in contents.certificates] == [der, CA]
    assert len(contents.keys) == 1


def test_a_name_that_nobody_has_lists_who_is_there(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(NoMatchError) as caught:
        Asked().run(path, RepasswordOptions(certificate="nobody", replace=True))
    assert [one.certificate.der for one in caught.value.candidates] == [JANES]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (TWO_PEOPLE, replace(IN_PLACE, certificate="Jane Doe")),
        (TWO_PEOPLE, replace(IN_PLACE, output="{}/sub/../old.p12", certificate="Jane Doe")),
        (
            TWO_PEOPLE,
            replace(
                IN_PLACE, output="{}/sub/old.p12", copies=(Path("{}"),), certificate="Jane Doe"
            ),
        ),
        (RENEWED, replace(IN_PLACE, certificate="Jane Doe")),
        (pfx_of([JANE, ZOE], [JANES, CA], OLD), IN_PLACE),
    ],
)
def test_a_file_is_never_replaced_by_less_than_it_held(
    tmp_path: Path, snapshot_of: SnapshotOf, content: bytes, options: RepasswordOptions
) -> None:
    path = written(tmp_path, content)
    (tmp_path / "sub").mkdir()
    before = snapshot_of(tmp_path)
    asked = Asked()
    given_ = replace(
        options,
        output=options.output and options.output.format(tmp_path),
        copies=tuple(Path(str(copy).format(tmp_path)) for copy in options.copies),
    )
    with pytest.raises(UsageError, match="which would be lost") as caught:
        asked.run(path, given_)
    assert "--output" in str(caught.value.hint)
    assert "new" not in asked.questions
    assert snapshot_of(tmp_path) == before


def test_a_default_name_that_is_the_files_own_replaces_no_more(tmp_path: Path) -> None:
    (file,) = Asked().run(written(tmp_path), RepasswordOptions(output=str(tmp_path))).files
    path = written(tmp_path, TWO_PEOPLE, name=file.path.name)
    with pytest.raises(UsageError, match="which would be lost"):
        Asked().run(
            path, RepasswordOptions(output=str(tmp_path), certificate="Jane Doe", replace=True)
        )
    assert path.read_bytes() == TWO_PEOPLE


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    stranger = issue(ec_key(5), "A Stranger")
    path = written(tmp_path, pfx_of([JANE, ZOE], [JANES, CA, stranger], OLD))
    asked = Asked()
    asked.run(path, RepasswordOptions(output=str(tmp_path / "new.pfx")))
    said = [warning for warning in asked.warnings if warning.startswith("left out")]
    assert len(said) == 2
    assert "1 private key without a certificate" in said[0]
    assert "A Stranger" in said[1]
