"""The real programs that make certificate stores and read backups, each behind a small class.

`nss` and `firefox` make and change stores; `readers` open a PFX the way its future user would.
`python -m tests.peers.install` puts them on a Debian machine. Nothing here imports nssbackup, so
what these modules say about a file is independent of our own reader and writer.
"""

from __future__ import annotations

__all__ = ["need"]


def need(peer_missing_reason: str | None, *, required: bool) -> None:
    """Go on if a peer is there; otherwise skip the test, or fail it where peers are required.

    Args:
        peer_missing_reason: None if the peer can be used, else why it can't, in words.
        required: True under `--require-peers` (CI): a skipped proof would look like a proof.
    """
    if peer_missing_reason is None:
        return
    # Here, not above: `python -m tests.peers.install` runs before pytest is installed.
    import pytest

    if required:
        pytest.fail(f"a required peer is missing: {peer_missing_reason}", pytrace=False)
    pytest.skip(peer_missing_reason)
