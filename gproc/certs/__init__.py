"""Certificates: an authority in a directory, what it issues and takes back, and what certificates say.

Start at `Authority`. Only this package signs.
"""

from gproc.certs._register import CertificateKind
from gproc.certs.authority import Authority, CertificateState, IssuedCertificate
from gproc.certs.diagnosis import diagnose
from gproc.certs.inspection import CertificateInfo, inspect

__all__ = [
    "Authority",
    "CertificateInfo",
    "CertificateKind",
    "CertificateState",
    "IssuedCertificate",
    "diagnose",
    "inspect",
]
