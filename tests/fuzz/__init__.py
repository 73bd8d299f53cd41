"""Fuzzing: every parser that meets a file, given anything at all.

`target.py` says what a target is, `targets.py` lists them; each takes bytes and lets nothing
through but the errors that its parser promises. `python -m tests.fuzz` is the long run, by atheris;
`test_fuzz.py` the short one of every test run, which needs none.
"""
