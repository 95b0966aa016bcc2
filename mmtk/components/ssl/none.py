"""Supervised classification."""

from __future__ import annotations

from mmtk.api import SSL, Classify, Labelled, StepContext, Supervised, Terms, Unlabelled


class NoSSL(SSL):
    """Labelled images only."""

    def __init__(self, supervised: Supervised) -> None:
        super().__init__()
        self.supervised = supervised

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """The supervised loss."""
        return self.supervised(classify, labelled)
