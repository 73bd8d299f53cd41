"""Diagnosis: what is in profiles, what is wrong there, and what `export` would end with.

One answer for every command that needs it: `doctor`, `export`, `restore`, `batch` and the guide.
Files are only read. No password is asked for, none but the empty one is tried, and no PKCS#11
module is loaded.
"""
