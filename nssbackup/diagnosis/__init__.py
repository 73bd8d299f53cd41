"""Doctor: why a certificate can't be found or backed up, in plain words, and what to do.

Everything is only looked at: no password is asked for or tried but the empty one, no module is
loaded, and nothing is written.
"""

from __future__ import annotations

from nssbackup.diagnosis.diagnosis import diagnose, not_located
from nssbackup.diagnosis.examination import Case
from nssbackup.diagnosis.findings import DoctorReport, Finding, ProfileFindings, Severity, Verdict

__all__ = [
    "Case",
    "DoctorReport",
    "Finding",
    "ProfileFindings",
    "Severity",
    "Verdict",
    "diagnose",
    "not_located",
]
