# ruff: noqa: ANN401 -- the driver, marionette_driver, comes without types
"""A real, headless Firefox ESR on a profile of the caller's choice, driven over Marionette."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.peers.process import PeerError, end_group, run

__all__ = ["Firefox", "FirefoxCertificate"]

PROGRAM = "firefox-esr"
START_SECONDS = 60.0
QUIT_SECONDS = 120.0
SCRIPT_SECONDS = 60.0

PREFS: Mapping[str, bool | int | str] = {
    "marionette.port": 0,  # any free one; Firefox writes it to MarionetteActivePort
    # Present the one fitting certificate without a dialogue, as an unattended login must.
    "security.default_personal_cert": "Select Automatically",
    # No question, update, survey or call home, so that nothing but the test changes the profile.
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}

# Chrome-privileged JavaScript. `arguments` are the values handed to `_chrome`.
_DATABASE = 'Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB)'
# The internal key token; before Firefox 150 or so it had another class, with other members.
_TOKEN = """
    const current = "@mozilla.org/security/internalkeytoken;1";
    const former = "@mozilla.org/security/pk11tokendb;1";
    const native = current in Cc
        ? Cc[current].createInstance(Ci.nsIPKCS11Token)
        : Cc[former].getService(Ci.nsIPK11TokenDB).getInternalKeyToken();
    const token = {
        get hasPassword() { return native.hasPassword; },
        get isLoggedIn() { return current in Cc ? native.isLoggedIn : native.isLoggedIn(); },
        login() { return current in Cc ? native.login() : native.login(false); },
        logout() { return current in Cc ? native.logout() : native.logoutSimple(); },
        changePassword(from, to) { return native.changePassword(from, to); },
    };
"""
_FILE = """
    let file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
    file.initWithPath(arguments[0]);
"""
_USER_CERTIFICATES = f"""
    let database = {_DATABASE};
    let own = database.getCerts().filter(c => c.certType & Ci.nsIX509Cert.USER_CERT);
"""
_ERRORS = """
    const errorName = code => Object.getOwnPropertyNames(Ci.nsIX509CertDB).find(
        name => name.startsWith("ERROR_") && Ci.nsIX509CertDB[name] === code) || String(code);
"""


@dataclass(frozen=True, slots=True)
class FirefoxCertificate:
    """One row of Firefox's "Your Certificates".

    Attributes:
        sha256: SHA-256 of the DER, lower-case hex.
        name: the name Firefox shows.
        subject: the subject, as Firefox writes it.
        issuer: the issuer, as Firefox writes it.
    """

    sha256: str
    name: str
    subject: str
    issuer: str


class Firefox:
    """A running Firefox; use it as a context manager, one at a time per profile.

    Args:
        profile: the profile folder, made if it is not there. A `user.js` is written into it, and
            Firefox changes it as it changes any profile in use.
        prefs: preferences on top of those the class needs.
        password: the primary password the profile has, to unlock it at the start.
        home: the home folder with the lists of profiles; otherwise an empty one, thrown away at
            the end.

    Raises:
        PeerError: Firefox doesn't start, refuses, or takes too long.
    """

    def __init__(
        self,
        profile: Path,
        *,
        prefs: Mapping[str, bool | int | str] | None = None,
        password: str | None = None,
        home: Path | None = None,
    ) -> None:
        self.profile = profile
        self._lasting_home = home
        self._prefs = {**PREFS, **(prefs or {})}
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self._home: tempfile.TemporaryDirectory[str] | None = None
        # The driver has no type hints.
        self._marionette: Any = None

    @staticmethod
    def missing() -> str | None:
        """Return why Firefox can't be driven here, in words, or None if it can."""
        if shutil.which(PROGRAM) is None:
            return f"{PROGRAM} is not installed"
        if importlib.util.find_spec("marionette_driver") is None:
            return "the Python package marionette_driver is not installed"
        return None

    @staticmethod
    def installed_version() -> str:
        """Return the installed version without starting a profile: `153.7.0esr`."""
        with tempfile.TemporaryDirectory(prefix="firefox-") as home:
            said = run([PROGRAM, "--version"], env={"HOME": home}).decode()
        return said.strip().rpartition(" ")[2]

    def __enter__(self) -> Self:
        reason = self.missing()
        if reason is not None:
            raise PeerError(reason)
        try:
            self._start()
            if self._password is not None:
                self.unlock(self._password)
        except (_marionette_errors(), OSError) as exc:
            self._kill()
            message = f"Firefox can't be reached after its start: {_said(exc)}"
            raise PeerError(message) from exc
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.quit()

    @staticmethod
    def make_profile(home: Path, name: str) -> Path:
        """Make a profile and list it in the `profiles.ini` of a home folder; return its folder."""
        run(
            [PROGRAM, "--headless", "--no-remote", "-CreateProfile", name],
            env={"HOME": str(home), "XDG_CONFIG_HOME": ""},
        )
        (folder,) = (home / ".config" / "mozilla" / "firefox").glob(f"*.{name}")
        return folder

    @property
    def version(self) -> str:
        """The version of the running Firefox: `153.7.0`."""
        return str(self._driver().session_capabilities["browserVersion"])

    @property
    def nss_version(self) -> str:
        """The version of the NSS inside it: `3.125.1`."""
        script = (
            'return Cc["@mozilla.org/security/nssversion;1"]'
            ".getService(Ci.nsINSSVersion).NSS_Version"
        )
        return str(self._chrome(script))

    @property
    def pid(self) -> int:
        """The process id of the running Firefox."""
        if self._process is None:
            message = "Firefox is not running"
            raise PeerError(message)
        return self._process.pid

    # --- the certificate store

    def import_pfx(self, path: Path, password: str) -> None:
        """Import a PFX as the certificate manager's *Import…* does."""
        script = (
            f"{_FILE} {_ERRORS} return errorName({_DATABASE}.importPKCS12File(file, arguments[1]))"
        )
        self._succeed("importing", self._chrome(script, str(path.resolve()), password))

    def export_pfx(self, path: Path, password: str, *, sha256: str | None = None) -> None:
        """Export as the certificate manager's *Backup All…* does.

        Args:
            path: the file to write.
            password: its password.
            sha256: the one certificate to export, by fingerprint; None for all that have a key.
        """
        script = f"""
            {_FILE} {_USER_CERTIFICATES} {_ERRORS}
            if (arguments[2]) {{
                own = own.filter(c =>
                    c.sha256Fingerprint.replaceAll(":", "").toLowerCase() === arguments[2]);
            }}
            if (!own.length) return "no such certificate";
            return errorName(database.exportPKCS12File(file, own, arguments[1]));
        """
        self._succeed("exporting", self._chrome(script, str(path.resolve()), password, sha256))

    def certificates(self) -> tuple[FirefoxCertificate, ...]:
        """List the user's own certificates (those with a private key), by fingerprint."""
        script = f"""{_USER_CERTIFICATES} return own.map(c =>
            [c.sha256Fingerprint, c.displayName, c.subjectName, c.issuerName])"""
        rows = self._chrome(script)
        return tuple(
            sorted(
                (
                    FirefoxCertificate(digest.replace(":", "").lower(), name, subject, issuer)
                    for digest, name, subject, issuer in rows
                ),
                key=lambda row: row.sha256,
            )
        )

    def certificate(self, sha256: str) -> bytes:
        """Return the DER of one of the user's own certificates."""
        script = f"""{_USER_CERTIFICATES} return own.filter(c =>
            c.sha256Fingerprint.replaceAll(":", "").toLowerCase() === arguments[0])
            .map(c => c.getRawDER())[0] || null"""
        der = self._chrome(script, sha256)
        if der is None:
            message = f"Firefox has no certificate {sha256}"
            raise PeerError(message)
        return bytes(der)

    def import_ca(self, der: bytes, trust: str = "CT,C,C") -> None:
        """Add a CA certificate with trust flags as certutil writes them."""
        script = f"""
            {_DATABASE}.addCert(String.fromCharCode(...arguments[0]), arguments[1]); return true"""
        self._chrome(script, list(der), trust)

    def trusts(self, sha256: str) -> bool:
        """Tell whether a certificate is one that Firefox trusts to vouch for websites.

        Raises:
            PeerError: there is no such certificate.
        """
        script = f"""
            const database = {_DATABASE};
            const found = database.getCerts().filter(c =>
                c.sha256Fingerprint.replaceAll(":", "").toLowerCase() === arguments[0]);
            return found.map(c => database.isCertTrusted(
                c, Ci.nsIX509Cert.CA_CERT, Ci.nsIX509CertDB.TRUSTED_SSL))"""
        answers = self._chrome(script, sha256)
        if not answers:
            message = f"Firefox has no certificate {sha256}"
            raise PeerError(message)
        return bool(answers[0])

    def delete_certificate(self, sha256: str) -> None:
        """Delete one of the user's own certificates, as the certificate manager does."""
        script = f"""
            {_USER_CERTIFICATES}
            let found = own.filter(c =>
                c.sha256Fingerprint.replaceAll(":", "").toLowerCase() === arguments[0]);
            found.forEach(c => database.deleteCertificate(c));
            return found.length"""
        if not self._chrome(script, sha256):
            message = f"Firefox has no certificate {sha256}"
            raise PeerError(message)

    # --- the primary password

    def has_primary_password(self) -> bool:
        """Tell whether the profile has a primary password."""
        return bool(self._chrome(f"{_TOKEN} return token.hasPassword"))

    def set_primary_password(self, old: str, new: str) -> None:
        """Set, change or (with an empty new one) take away the primary password.

        Raises:
            PeerError: the old password is wrong.
        """
        self._chrome(
            f"{_TOKEN} token.changePassword(arguments[0], arguments[1]); return true", old, new
        )

    def lock(self) -> None:
        """Log out of the store, as after a start."""
        self._chrome(f"{_TOKEN} token.logout(); return true")

    def unlocked(self) -> bool:
        """Tell whether the store's keys can be used without a password now."""
        return bool(self._chrome(f"{_TOKEN} return !token.hasPassword || token.isLoggedIn"))

    def unlock(self, password: str) -> None:
        """Log in to the store, answering the question for the password as a user does.

        Raises:
            PeerError: the password is wrong, or was not asked for.
        """
        if self.unlocked():
            return
        # The driver can't type into a password dialogue, and gives up on a script that opens one.
        # So the factory of dialogues is replaced while `login` asks: the first question gets the
        # password, the second (it was wrong) is cancelled.
        script = f"""
            {_TOKEN}
            const [given] = arguments;
            let asked = 0;
            const prompt = {{
                QueryInterface: ChromeUtils.generateQI(["nsIPrompt"]),
                promptPassword(title, text, password) {{
                    asked += 1;
                    password.value = given;
                    return asked === 1;
                }},
                alert() {{}},
            }};
            const factory = {{
                QueryInterface: ChromeUtils.generateQI(["nsIFactory", "nsIPromptFactory"]),
                createInstance(iid) {{ return this.QueryInterface(iid); }},
                getPrompt(parent, iid) {{ return prompt.QueryInterface(iid); }},
            }};
            const registrar = Components.manager.QueryInterface(Ci.nsIComponentRegistrar);
            const contract = "@mozilla.org/prompter;1";
            const original = registrar.contractIDToCID(contract);
            const id = Services.uuid.generateUUID();
            registrar.registerFactory(id, "answers", contract, factory);
            try {{ token.login(); }}
            catch {{}}
            finally {{
                registrar.unregisterFactory(id, factory);
                registrar.registerFactory(original, "", contract, null);
            }}
            return asked"""
        asked = self._chrome(script, password)
        if not self.unlocked():
            said = "the primary password is wrong" if asked else "nothing, and stays locked"
            message = f"Firefox says {said}"
            raise PeerError(message)

    # --- the profile group

    def add_to_group(self, name: str) -> Path:
        """Make another profile of this one's group, as the menu's *New profile* does.

        The application has to know this profile, from a list in `home`. The new profile is not
        started.

        Returns:
            Its folder.
        """
        made = self._group("""
            await service.maybeSetupDataStore();
            return (await service.createNewProfile(false)).path""")
        self.rename_in_group(Path(made), name)
        return Path(made)

    def rename_in_group(self, profile: Path, name: str) -> None:
        """Give a profile of the group another name, as its user does."""
        self._group(
            """
            const all = await service.getAllProfiles();
            await all.find(one => one.path === arguments[0]).setNameAsync(arguments[1]);""",
            str(profile),
            name,
        )

    def group(self) -> dict[Path, str]:
        """The folders of the group's profiles with the names that the menu shows."""
        rows = self._group(
            "return (await service.getAllProfiles()).map(one => [one.path, one.name])"
        )
        return {Path(path): name for path, name in rows}

    def _group(self, script: str, *arguments: object) -> Any:
        """Run JavaScript in which `service` is that of the profile groups."""
        return self._chrome(
            f"""const {{ SelectableProfileService: service }} = ChromeUtils.importESModule(
                "resource:///modules/profiles/SelectableProfileService.sys.mjs");
            return (async () => {{ {script} }})()""",
            *arguments,
        )

    # --- its own backups

    def back_up(self, folder: Path, password: str | None) -> Path:
        """Make a Firefox backup in an existing folder, encrypted with a recovery password."""
        # There is no desktop to keep a secret in, so its phrase is a fixed one, as in Firefox's
        # own tests.
        path = self._chrome(
            """
            const load = name => ChromeUtils.importESModule(name);
            const { BackupService } = load("resource:///modules/backup/BackupService.sys.mjs");
            const { ArchiveEncryptionState } =
                load("resource:///modules/backup/ArchiveEncryptionState.sys.mjs");
            load("resource://gre/modules/OSKeyStore.sys.mjs").OSKeyStore.exportRecoveryPhrase =
                async () => "a fixed phrase";
            Services.prefs.setBoolPref("browser.backup.enabled", true);
            Services.prefs.setStringPref("browser.backup.location", arguments[0]);
            return (async () => {
                const encState = arguments[1] === null
                    ? null
                    : (await ArchiveEncryptionState.initialize(arguments[1])).instance;
                const made = await BackupService.get().createBackup({ encState, reason: "test" });
                return made.archivePath;
            })()
            """,
            str(folder),
            password,
        )
        return Path(path)

    # --- the web

    def open_url(self, url: str) -> str:
        """Load a page and return its text.

        Raises:
            PeerError: the page doesn't load (name, connection or TLS error).
        """
        driver = self._driver()
        with driver.using_context("content"):
            try:
                driver.navigate(url)
                return str(driver.execute_script("return document.documentElement.innerText"))
            except _marionette_errors() as exc:
                message = f"Firefox can't load {url}: {_said(exc)}"
                raise PeerError(message) from exc

    # --- the process

    def quit(self) -> None:
        """End Firefox as its menu does, so that all is on disk; by force if that takes too long.

        Raises:
            PeerError: it had to be killed.
        """
        process = self._process
        if process is None:
            return
        try:
            if process.poll() is None:
                self._chrome(
                    "Services.tm.dispatchToMainThread(() => "
                    "Services.startup.quit(Ci.nsIAppStartup.eForceQuit)); return true"
                )
                self._marionette.delete_session(send_request=False)
                process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired as exc:
            message = f"Firefox did not quit within {QUIT_SECONDS:g} seconds"
            raise PeerError(message) from exc
        finally:
            self._kill()

    def _start(self) -> None:
        """Start the process and connect to it."""
        self.profile.mkdir(parents=True, exist_ok=True)
        port_file = self.profile / "MarionetteActivePort"
        port_file.unlink(missing_ok=True)
        lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in self._prefs.items())
        (self.profile / "user.js").write_text("\n".join(lines) + "\n", encoding="utf-8")
        # A home of its own: no profiles.ini, cache or font settings of the user's.
        self._home = tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True)
        private = Path(self._home.name)
        home = self._lasting_home or private
        log = private / "log"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MOZ_", "DISPLAY"))}
        env |= {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(private),
            "MOZ_CRASHREPORTER_DISABLE": "1",
        }
        argv = [
            *(PROGRAM, "--headless", "--no-remote", "--marionette"),
            *("--remote-allow-system-access", "--profile", str(self.profile.resolve())),
        ]
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def port() -> int | None:
            if self._process is None or self._process.poll() is not None:
                said = log.read_text("utf-8", "replace")[-2000:]
                message = f"Firefox ended at its start: {said}"
                raise PeerError(message)
            digits = port_file.read_text() if port_file.is_file() else ""
            # The file is made first and filled then.
            return int(digits) if re.fullmatch(r"\d+", digits) else None

        number = self._wait_for(port, "Firefox's start", START_SECONDS)
        marionette = _driver_module("marionette").Marionette
        self._marionette = marionette(
            host="127.0.0.1", port=number, socket_timeout=SCRIPT_SECONDS + 10
        )
        self._marionette.start_session(timeout=START_SECONDS)
        self._marionette.set_context("chrome")
        self._marionette.timeout.script = SCRIPT_SECONDS
        self._marionette.timeout.page_load = SCRIPT_SECONDS

    def _kill(self) -> None:
        """End the process with all its children and throw its home away."""
        if self._process is not None:
            end_group(self._process)
            self._process.wait(QUIT_SECONDS)
            self._process = None
        if self._marionette is not None:
            # The driver's destructor would talk to a Firefox that is gone.
            self._marionette.cleanup_ran = True
            self._marionette.client.close()
            self._marionette = None
        if self._home is not None:
            self._home.cleanup()
            self._home = None

    def _driver(self) -> Any:
        """Return the connected driver."""
        if self._marionette is None:
            message = "Firefox is not running"
            raise PeerError(message)
        return self._marionette

    def _chrome(self, script: str, *arguments: object) -> Any:
        """Run JavaScript with the browser's own rights and return its value."""
        driver = self._driver()
        try:
            return driver.execute_script(script, script_args=list(arguments))
        except (_marionette_errors(), OSError) as exc:
            message = f"Firefox refuses: {_said(exc)}"
            raise PeerError(message) from exc

    @staticmethod
    def _wait_for(probe: Any, what: str, seconds: float = 120.0) -> Any:
        """Call `probe` until it returns something; PeerError after `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = probe()
            if value:
                return value
            time.sleep(0.1)
        message = f"no sign of {what} within {seconds:g} seconds"
        raise PeerError(message)

    @staticmethod
    def _succeed(doing: str, outcome: object) -> None:
        """Raise unless Firefox's certificate database said 0, its word for success."""
        if str(outcome) != "0":
            message = f"{doing} a PFX, Firefox says {outcome}"
            raise PeerError(message)


def _marionette_errors() -> Any:
    """Return the driver's base exception; late, so that this module loads without the driver."""
    return _driver_module("errors").MarionetteException


def _driver_module(name: str) -> Any:
    """Import a part of the driver, whose own imports warn about their age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"marionette_driver.{name}")


def _said(exc: Exception) -> str:
    """Return an exception's kind and message, without Firefox's own stack trace below it."""
    return f"{type(exc).__name__}: {str(exc).partition('stacktrace:')[0].strip()}"
