"""Make files and folders on Windows whose access list names only their owner.

Other systems have modes for that. The list is passed to the call that makes the file, so there is
no moment in which anybody else can open it, and it stays with the file when that is renamed. What
is made in such a folder later gets the folder's list. A drive without access lists (FAT, exFAT)
ignores it.

Facts from learn.microsoft.com: "CreateFileW", "CreateDirectoryW", "SECURITY_ATTRIBUTES",
"GetVolumeInformationW", "Security Descriptor String Format", "ACE Strings" and "SID Strings".
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# Names and numbers of Windows (winnt.h, fileapi.h).
_TOKEN_QUERY = 0x0008
_TOKEN_USER = 1
_SDDL_REVISION_1 = 1
_GENERIC_WRITE = 0x40000000
_CREATE_NEW = 1
_FILE_ATTRIBUTE_NORMAL = 0x80
_INVALID_HANDLE_VALUE = ctypes.c_void_p(-1).value
_LOAD_LIBRARY_SEARCH_SYSTEM32 = 0x800
_FILE_PERSISTENT_ACLS = 0x8
_LONGEST_PATH = 32_768

# A user's SID has 68 bytes at most (SECURITY_MAX_SID_SIZE), beside a pointer and a number.
_TOKEN_USER_BYTES = 256


class SecurityAttributes(ctypes.Structure):
    """SECURITY_ATTRIBUTES."""

    _fields_ = (
        ("nLength", ctypes.c_uint32),
        ("lpSecurityDescriptor", ctypes.c_void_p),
        ("bInheritHandle", ctypes.c_int),
    )


@dataclass(frozen=True, slots=True)
class Windows:
    """The functions of Windows that are used here, and the error of the call that just failed."""

    kernel32: Any
    advapi32: Any
    last_error: Callable[[], OSError]

    @classmethod
    def load(cls) -> Windows:
        """Load the libraries, from the folder of Windows only.

        Raises:
            OSError: this is not Windows.
        """
        if sys.platform != "win32":
            message = "there are no access lists on this system"
            raise OSError(message)
        kernel32, advapi32 = (
            ctypes.WinDLL(name, use_last_error=True, winmode=_LOAD_LIBRARY_SEARCH_SYSTEM32)
            for name in ("kernel32", "advapi32")
        )
        return cls(kernel32, advapi32, lambda: ctypes.WinError(ctypes.get_last_error()))

    def __post_init__(self) -> None:
        pointer, number, text = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_wchar_p
        to_pointer = ctypes.POINTER(pointer)
        kernel32, advapi32 = self.kernel32, self.advapi32
        for function, result, arguments in (
            (kernel32.GetCurrentProcess, pointer, []),
            (kernel32.CloseHandle, ctypes.c_int, [pointer]),
            (kernel32.LocalFree, pointer, [pointer]),
            (
                kernel32.CreateFileW,
                pointer,
                [
                    *(text, number, number, ctypes.POINTER(SecurityAttributes)),
                    *(number, number, pointer),
                ],
            ),
            (advapi32.OpenProcessToken, ctypes.c_int, [pointer, number, to_pointer]),
            (
                advapi32.GetTokenInformation,
                ctypes.c_int,
                [pointer, ctypes.c_int, pointer, number, ctypes.POINTER(number)],
            ),
            (advapi32.ConvertSidToStringSidW, ctypes.c_int, [pointer, to_pointer]),
            (kernel32.CreateDirectoryW, ctypes.c_int, [text, ctypes.POINTER(SecurityAttributes)]),
            (kernel32.GetVolumePathNameW, ctypes.c_int, [text, pointer, number]),
            (
                kernel32.GetVolumeInformationW,
                ctypes.c_int,
                [
                    *(text, pointer, number, pointer, pointer),
                    *(ctypes.POINTER(number), pointer, number),
                ],
            ),
            (
                advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW,
                ctypes.c_int,
                [text, number, to_pointer, pointer],
            ),
        ):
            function.restype, function.argtypes = result, arguments

    def user(self) -> str:
        """Return the SID of this process's user as text.

        Raises:
            OSError: Windows doesn't say.
        """
        token = ctypes.c_void_p()
        process = self.kernel32.GetCurrentProcess()
        self._check(self.advapi32.OpenProcessToken(process, _TOKEN_QUERY, ctypes.byref(token)))
        try:
            # TOKEN_USER: it begins with a pointer to the SID, which comes after it.
            found = ctypes.create_string_buffer(_TOKEN_USER_BYTES)
            length = ctypes.c_uint32()
            self._check(
                self.advapi32.GetTokenInformation(
                    token, _TOKEN_USER, found, len(found), ctypes.byref(length)
                )
            )
        finally:
            self.kernel32.CloseHandle(token)
        text = ctypes.c_void_p()
        sid = ctypes.c_void_p.from_buffer(found)
        self._check(self.advapi32.ConvertSidToStringSidW(sid, ctypes.byref(text)))
        try:
            return ctypes.wstring_at(text.value or 0)
        finally:
            self.kernel32.LocalFree(text)

    def create(self, path: str) -> int:
        """Make a new file that only this user can access, and return a handle to write to.

        Raises:
            OSError: the file exists or can't be made.
        """
        with self._for_owner("") as attributes:
            handle = self.kernel32.CreateFileW(
                *(path, _GENERIC_WRITE, 0, ctypes.byref(attributes)),
                *(_CREATE_NEW, _FILE_ATTRIBUTE_NORMAL, None),
            )
            if handle == _INVALID_HANDLE_VALUE:
                raise self.last_error()
        return int(handle)

    def create_folder(self, path: str) -> None:
        """Make a new folder that only this user can access, as well as what is made in it later.

        Raises:
            OSError: it exists or can't be made.
        """
        with self._for_owner("OICI") as attributes:
            self._check(self.kernel32.CreateDirectoryW(path, ctypes.byref(attributes)))

    def keeps_lists(self, path: str) -> bool:
        """Return False if Windows says that the drive or share of a file keeps no access lists."""
        drive, facts = ctypes.create_unicode_buffer(_LONGEST_PATH), ctypes.c_uint32()
        said = self.kernel32.GetVolumePathNameW(path, drive, len(drive)) and (
            self.kernel32.GetVolumeInformationW(
                drive.value, None, 0, None, None, ctypes.byref(facts), None, 0
            )
        )
        return not said or bool(facts.value & _FILE_PERSISTENT_ACLS)

    @contextmanager
    def _for_owner(self, inheritance: str) -> Iterator[SecurityAttributes]:
        # P: nothing is inherited from the folder. A, FA: everything is allowed to this user, and
        # to the owner (S-1-3-4, Owner Rights), as a share may know this user by another SID.
        entries = "".join(f"(A;{inheritance};FA;;;{sid})" for sid in (self.user(), "S-1-3-4"))
        descriptor = ctypes.c_void_p()
        self._check(
            self.advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW(
                f"D:P{entries}", _SDDL_REVISION_1, ctypes.byref(descriptor), None
            )
        )
        try:
            yield SecurityAttributes(ctypes.sizeof(SecurityAttributes), descriptor.value, 0)
        finally:
            self.kernel32.LocalFree(descriptor)

    def _check(self, done: int) -> None:
        if not done:
            raise self.last_error()


def create_for_owner(path: str) -> int:
    """Make a new file as `Windows.create` does, and return a descriptor to write to.

    Raises:
        OSError: the file exists or can't be made.
    """
    handle = Windows.load().create(path)
    if sys.platform != "win32":
        raise AssertionError  # `load` has raised already
    import msvcrt

    return msvcrt.open_osfhandle(handle, os.O_WRONLY | os.O_BINARY)
