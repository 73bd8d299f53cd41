"""Timings side by side with NSS's own tools. No test asserts a time."""
