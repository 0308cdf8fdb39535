"""Certificates: a bound of the error at every point of a box, and an independent check of it."""

from pellucid.approximation.certificate.certificate import Certificate
from pellucid.approximation.certificate.certify import certify
from pellucid.approximation.certificate.verify import Verification, verify
from pellucid.approximation.certificate.worst_point import worst_point

__all__ = ["Certificate", "Verification", "certify", "verify", "worst_point"]
