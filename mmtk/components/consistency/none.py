"""Supervised segmentation."""

from __future__ import annotations

from mmtk.api import Consistency, Labelled, Segment, StepContext, Supervised, Terms, Unlabelled


class NoConsistency(Consistency):
    """Labelled images only."""

    unlabelled_stream = False

    def __init__(self, supervised: Supervised) -> None:
        super().__init__()
        self.supervised = supervised

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """The supervised loss."""
        return self.supervised(segment, labelled)
