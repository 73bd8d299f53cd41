"""Rows: the items of the report, made of what is known of a user's files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nssbackup.batch.report import BatchItem, error_document
from nssbackup.batch.users import Member
from nssbackup.errors import NssBackupError
from nssbackup.identity.model import Identity, Profile
from nssbackup.profiles.locate import UNKNOWN_APPLICATION
from nssbackup.report import identity_json


def item_of(host: str, member: Member, profile: Profile | None) -> BatchItem:
    """An item about a profile, or about a home as a whole, which has to be said more of."""
    item = BatchItem(
        status="failed",
        host=host,
        user=member.user,
        home=str(member.path) if member.home else None,
    )
    if profile is None:
        return item if member.home else replace(item, profile=str(member.path))
    known = profile.application != UNKNOWN_APPLICATION
    return replace(
        item,
        application=profile.application if known else None,
        profile=str(profile.path),
        profile_name=profile.name,
    )


def about(item: BatchItem, identity: Identity, warnings: Iterable[str] = ()) -> BatchItem:
    """The same about an identity, with what is to be said of it today."""
    return replace(item, identity=identity_json(identity), warnings=tuple(warnings))


def failed(item: BatchItem, error: NssBackupError) -> BatchItem:
    """The same, as a failure: then no file is named."""
    return replace(
        item, status="failed", error=error_document(error), file=None, sha256=None, size=None
    )
