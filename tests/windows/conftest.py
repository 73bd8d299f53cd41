"""The commands' tests are for Windows' Python; the test that starts it is for this one."""

import sys

windows = sys.platform == "win32"
collect_ignore = ["test_console.py", "test_windows_python.py"] if windows else ["test_commands.py"]
