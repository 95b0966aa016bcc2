"""Paths of the files of a run directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from mmtk.registry import local_file

MODEL = "model.safetensors"  # in a folder that mmtk export wrote: weights and what they are, no run


class RunFiles:
    """Paths of a run directory's files, made on access, since a study opens thousands of runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.toml"

    @property
    def provenance_file(self) -> Path:
        """Versions, hardware, data digests and command."""
        return self.path / "provenance.json"

    @property
    def splits_file(self) -> Path:
        """The images of every part, by id."""
        return self.path / "splits.json"

    @property
    def metrics_file(self) -> Path:
        """The log of losses and validation scores."""
        return self.path / "metrics.jsonl"

    @property
    def timing_file(self) -> Path:
        """The log of step times."""
        return self.path / "timing.jsonl"

    @property
    def cases_file(self) -> Path:
        """Values per test image."""
        return self.path / "cases.parquet"

    @property
    def results_file(self) -> Path:
        """Scores on every test set."""
        return self.path / "results.json"

    @property
    def done_file(self) -> Path:
        """The mark of a finished run, with the hashes of its files."""
        return self.path / "done.json"

    @property
    def tracking_file(self) -> Path:
        """The runs of a tracking server that hold this one."""
        return self.path / "tracking.json"

    @property
    def expected_file(self) -> Path:
        """The versions with which a study planned the run."""
        return self.path / "expected.json"

    @property
    def failure_file(self) -> Path:
        """The error that ended the run."""
        return self.path / "failure.json"

    @property
    def data_file(self) -> Path:
        """A description of the data."""
        return self.path / "data.json"

    @property
    def samples_file(self) -> Path:
        """A few test images with masks and predictions."""
        return self.path / "samples.npz"

    @property
    def ranked_file(self) -> Path:
        """Test images, the worst and the best."""
        return self.path / "ranked.npz"

    @property
    def layers_file(self) -> Path:
        """The layers of the network."""
        return self.path / "layers.json"

    @property
    def scores_file(self) -> Path:
        """The scores that the metrics declare."""
        return self.path / "scores.json"

    @property
    def code_file(self) -> Path:
        """The copy of the local file of components."""
        return self.path / local_file.COPY

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints/last.safetensors"

    @property
    def previous(self) -> Path:
        """The checkpoint before the newest."""
        return self.path / "checkpoints/previous.safetensors"

    @property
    def best(self) -> Path:
        """The weights that validation selected."""
        return self.path / "checkpoints/best.safetensors"

    @property
    def figures(self) -> Path:
        """The folder of pictures."""
        return self.path / "figures"

    @property
    def model(self) -> Path:
        """The weights of an exported model; a run has none."""
        return self.path / MODEL

    def files(self) -> Iterator[Path]:
        """Every file and folder above, whether it is there or not."""
        for name, value in vars(RunFiles).items():
            if isinstance(value, property):
                yield cast(Path, getattr(self, name))
