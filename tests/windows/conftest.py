"""The commands' tests are for Windows' Python; the tests that start it are for this one."""

import sys

windows = sys.platform == "win32"
started_here = ["test_console.py", "test_one_folder.py", "test_windows_python.py"]
collect_ignore = started_here if windows else ["test_commands.py"]
