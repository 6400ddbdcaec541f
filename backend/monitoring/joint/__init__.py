"""Joint drift: detectors that look at columns together. One file each, listed here, described by themselves."""

from __future__ import annotations

from backend.monitoring.joint.base import JointDetector, JointScore
from backend.monitoring.joint.correlation_change import CorrelationChange
from backend.monitoring.joint.domain_classifier import DomainClassifier
from backend.monitoring.joint.pca_reconstruction import PcaReconstruction
from backend.monitoring.joint.sample import Sample, read_sample

__all__ = ["DETECTORS", "JointDetector", "JointScore", "Sample", "read_sample"]

DETECTORS: dict[str, type[JointDetector]] = {
    detector.name: detector for detector in (CorrelationChange, PcaReconstruction, DomainClassifier)
}
