"""The access list of a file on Windows: Windows' functions are replaced, what they get is not."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from nssbackup.system.windows_access import SecurityAttributes, Windows

SID = "S-1-5-21-1111111111-222222222-3333333333-1001"
TOKEN, FILE, DESCRIPTOR = 0x44, 0x99, 0x7000
INVALID = ctypes.c_void_p(-1).value

_POINTER = ctypes.c_void_p


@dataclass
class Machine:
    """Windows as far as it is needed, called through ctypes as Windows is."""

    fails: str = ""
    drive: int = 0
    done: list[tuple[Any, ...]] = field(default_factory=list)
    _kept: list[object] = field(default_factory=list)

    def windows(self) -> Windows:
        names: dict[str, tuple[Any, list[Any]]] = {
            "GetCurrentProcess": (_POINTER, []),
            "CloseHandle": (ctypes.c_int, [_POINTER]),
            "LocalFree": (_POINTER, [_POINTER]),
            "CreateFileW": (
                _POINTER,
                [
                    *(ctypes.c_wchar_p, ctypes.c_uint32, ctypes.c_uint32),
                    *(ctypes.POINTER(SecurityAttributes), ctypes.c_uint32, ctypes.c_uint32),
                    _POINTER,
                ],
            ),
            "CreateDirectoryW": (
                ctypes.c_int,
                [ctypes.c_wchar_p, ctypes.POINTER(SecurityAttributes)],
            ),
            "GetVolumePathNameW": (
                ctypes.c_int,
                [ctypes.c_wchar_p, _POINTER, ctypes.c_uint32],
            ),
            "GetVolumeInformationW": (
                ctypes.c_int,
                [
                    *(ctypes.c_wchar_p, _POINTER, ctypes.c_uint32, _POINTER, _POINTER),
                    *(ctypes.POINTER(ctypes.c_uint32), _POINTER, ctypes.c_uint32),
                ],
            ),
            "OpenProcessToken": (
                ctypes.c_int,
                [_POINTER, ctypes.c_uint32, ctypes.POINTER(_POINTER)],
            ),
            "GetTokenInformation": (
                ctypes.c_int,
                [
                    *(_POINTER, ctypes.c_int, _POINTER, ctypes.c_uint32),
                    ctypes.POINTER(ctypes.c_uint32),
                ],
            ),
            "ConvertSidToStringSidW": (ctypes.c_int, [_POINTER, ctypes.POINTER(_POINTER)]),
            "ConvertStringSecurityDescriptorToSecurityDescriptorW": (
                ctypes.c_int,
                [ctypes.c_wchar_p, ctypes.c_uint32, ctypes.POINTER(_POINTER), _POINTER],
            ),
        }
        functions = SimpleNamespace(
            **{
                name: ctypes.CFUNCTYPE(result, *arguments)(getattr(self, f"_{name}"))
                for name, (result, arguments) in names.items()
            }
        )
        return Windows(functions, functions, lambda: FileExistsError(80, "the file exists"))

    def _succeeds(self, name: str, *facts: object) -> int:
        self.done.append((name, *facts))
        return 0 if name == self.fails else 1

    def _GetCurrentProcess(self) -> int | None:  # noqa: N802 - Windows' names
        return INVALID

    def _CloseHandle(self, handle: int) -> int:  # noqa: N802
        return self._succeeds("close", handle)

    def _LocalFree(self, pointer: int) -> None:  # noqa: N802
        self.done.append(("free", pointer))

    def _OpenProcessToken(self, process: int, wanted: int, token: Any) -> int:  # noqa: N802, ANN401
        token[0] = TOKEN
        return self._succeeds("token", process, wanted)

    def _GetTokenInformation(  # noqa: N802
        self,
        token: int,
        kind: int,
        buffer: int,
        size: int,
        length: Any,  # noqa: ANN401 - a pointer
    ) -> int:
        # TOKEN_USER: a pointer to the SID, which is put behind it.
        ctypes.c_void_p.from_address(buffer).value = buffer + 16
        length[0] = 44
        assert size >= 44
        return self._succeeds("user", token, kind)

    def _ConvertSidToStringSidW(self, sid: int, text: Any) -> int:  # noqa: N802, ANN401
        made = ctypes.create_unicode_buffer(SID)
        self._kept.append(made)
        text[0] = ctypes.addressof(made)
        assert sid
        return self._succeeds("sid")

    def _ConvertStringSecurityDescriptorToSecurityDescriptorW(  # noqa: N802
        self,
        text: str,
        revision: int,
        made: Any,  # noqa: ANN401 - a pointer
        size: int | None,
    ) -> int:
        made[0] = DESCRIPTOR
        assert size is None
        return self._succeeds("list", text, revision)

    def _CreateFileW(  # noqa: N802
        self,
        path: str,
        access: int,
        share: int,
        attributes: Any,  # noqa: ANN401 - a pointer
        disposition: int,
        flags: int,
        template: int | None,
    ) -> int | None:
        given = attributes.contents
        assert template is None
        assert given.nLength == ctypes.sizeof(SecurityAttributes)
        facts = (given.lpSecurityDescriptor, given.bInheritHandle)
        made = self._succeeds("create", path, access, share, disposition, flags, *facts)
        return FILE if made else INVALID

    def _CreateDirectoryW(self, path: str, attributes: Any) -> int:  # noqa: N802, ANN401
        return self._succeeds("folder", path, attributes.contents.lpSecurityDescriptor)

    def _GetVolumePathNameW(self, path: str, found: int, length: int) -> int:  # noqa: N802
        ctypes.memmove(
            found, ctypes.create_unicode_buffer(path[:3]), 4 * ctypes.sizeof(ctypes.c_wchar)
        )
        assert length > len(path)
        return self._succeeds("drive")

    def _GetVolumeInformationW(  # noqa: N802
        self,
        drive: str,
        *more: Any,  # noqa: ANN401 - pointers
    ) -> int:
        more[4][0] = self.drive
        return self._succeeds("volume", drive)


def test_a_file_is_made_with_a_list_of_its_owner_alone() -> None:
    machine = Machine()
    assert machine.windows().create("C:\\Users\\Jürg\\a.pfx") == FILE
    done = {each[0]: each[1:] for each in machine.done}
    # Protected from what the folder would hand down; everything is allowed to this user, and to
    # the owner, whom a share may know by another SID.
    assert done["list"] == (f"D:P(A;;FA;;;{SID})(A;;FA;;;S-1-3-4)", 1)
    # New, for writing, shared with nobody, and made with the list, not given it afterwards.
    assert done["create"] == ("C:\\Users\\Jürg\\a.pfx", 0x40000000, 0, 1, 0x80, DESCRIPTOR, 0)
    order = [each[0] for each in machine.done]
    assert order.index("list") < order.index("create")
    assert done["user"] == (TOKEN, 1)


def test_a_folder_hands_its_list_down() -> None:
    machine = Machine()
    machine.windows().create_folder("C:\\a")
    done = {each[0]: each[1:] for each in machine.done}
    assert done["list"] == (f"D:P(A;OICI;FA;;;{SID})(A;OICI;FA;;;S-1-3-4)", 1)
    assert done["folder"] == ("C:\\a", DESCRIPTOR)


@pytest.mark.parametrize(
    ("flags", "kept"), [(0x3E706FF, True), (0x206, False)], ids=["ntfs", "fat"]
)
def test_a_drive_says_whether_it_keeps_access_lists(flags: int, *, kept: bool) -> None:
    machine = Machine(drive=flags)
    assert machine.windows().keeps_lists("E:\\copy.pfx") is kept
    assert machine.done[-1] == ("volume", "E:\\")


def test_nothing_of_windows_is_kept() -> None:
    machine = Machine()
    machine.windows().create("a.pfx")
    assert ("close", TOKEN) in machine.done
    freed = [each[1] for each in machine.done if each[0] == "free"]
    assert freed[-1] == DESCRIPTOR
    assert len(freed) == 2


@pytest.mark.parametrize("call", ["token", "user", "sid", "list", "create"])
def test_what_windows_refuses_is_an_error_and_no_file(call: str) -> None:
    machine = Machine(fails=call)
    with pytest.raises(FileExistsError):
        machine.windows().create("a.pfx")
    made = [each for each in machine.done if each[0] == "create"]
    assert bool(made) is (call == "create")
    taken = [each for each in machine.done if each[0] == "token"]
    given_back = [each for each in machine.done if each[0] == "close"]
    assert len(given_back) == (len(taken) if call != "token" else 0)
