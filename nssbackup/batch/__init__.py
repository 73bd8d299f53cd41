"""Batch: every identity of every profile under some roots, unattended."""
