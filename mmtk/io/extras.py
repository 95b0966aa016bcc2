"""Installation of extras and plugins of mmtk, as lines that work wherever mmtk was installed from."""

from __future__ import annotations

import shlex
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from mmtk.io.spelling import quoted

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def install_line(extra: str) -> str:
    """The command that installs the packages of an extra, from the metadata of the installed mmtk.

    extra: its name in ``pyproject.toml``, such as ``dicom``. ``pip install 'mmtk[dicom]'`` would ask a package
    index for mmtk, which may not be there.
    """
    packages = [shlex.quote(str(requirement)) for requirement in requirements(extra)]
    return " ".join(["python -m pip install", *packages])


def plugin_line(name: str) -> str:
    """The command that installs a plugin that is developed with mmtk, with the folder where it lies.

    name: of the distribution, such as ``mmtk-release``. No package index has these: they are folders of a checkout
    of mmtk, from which an editable mmtk is installed.
    """
    folder = Path(__file__).parents[2] / "plugins" / name
    if (folder / "pyproject.toml").is_file():
        return f"python -m pip install -e {quoted(folder)}"
    return f"python -m pip install -e plugins/{name} (in a checkout of mmtk: no package index has it)"


def requirements(extra: str = "") -> list[Requirement]:
    """Requirements of the installed mmtk; with the name of an extra, what that needs besides."""
    from packaging.requirements import Requirement

    results = []
    for line in metadata.requires("mmtk") or ():
        requirement = Requirement(line)
        of_extra = requirement.marker is not None and "extra" in str(requirement.marker)
        met = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if met and of_extra == bool(extra) and requirement.name != "mmtk":
            requirement.marker = None
            results.append(requirement)
    return results
