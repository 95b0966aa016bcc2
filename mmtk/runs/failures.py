"""Failures of runs, written down for studies that do not wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mmtk.errors import MmtkError
from mmtk.io.files import write_json
from mmtk.recipe.recipe import Recipe
from mmtk.runs.folder import RunDir


@contextmanager
def failure_noted(folder: RunDir, recipe: Recipe, interruption: type[MmtkError]) -> Iterator[None]:
    """Write the error of a failed run into its folder, for a study that does not wait (``--detach``).

    folder: of the run
    recipe: of the run; nothing is written into the folder of a run of another one
    interruption: error that is no failure
    """
    if _is_of_another(folder, recipe):
        yield
        return
    folder.failure_file.unlink(missing_ok=True)
    try:
        yield
    except interruption:
        raise
    except MmtkError as error:
        with suppress(OSError):  # what failed may be the disk
            write_json(folder.failure_file, {"reason": str(error)})
        raise


def _is_of_another(folder: RunDir, recipe: Recipe) -> bool:
    """Whether the folder holds a run of another recipe or seed; one that cannot be read is no other."""
    try:
        other = folder.recipe if folder.has_begun else recipe
    except MmtkError:
        return False
    return (other.digest, other.seed) != (recipe.digest, recipe.seed)
