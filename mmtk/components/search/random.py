"""Random search."""

from __future__ import annotations

from collections.abc import Sequence

from mmtk.search import Draw, Search, Settings, Space, Trial


class Random(Search):
    """Draw every key by itself, equally likely over its list or range (Bergstra and Bengio 2012).

    A trial has the same value of a key in every system that has the key, so that systems are compared on the same
    settings.
    """

    sequential = False

    def propose(self, space: Space, history: Sequence[Trial], draw: Draw) -> Settings:
        """Draw a value for every key; earlier trials do not count."""
        return {key: values.at(draw(key).random()) for key, values in space.items()}
