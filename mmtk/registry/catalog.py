"""Catalog of components: a static table of mmtk's, package metadata of third parties; imports none."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmtk.errors import MmtkError, listing, nearest
from mmtk.io.extras import plugin_line
from mmtk.registry.kinds import KINDS, attribute

if TYPE_CHECKING:
    from importlib import metadata

BUILTINS: dict[str, dict[str, str]] = {
    "encoder": {
        "unet": "mmtk.components.encoder.unet:UNetEncoder",
        "timm": "mmtk.components.encoder.timm:TimmEncoder",
        "smp": "mmtk.components.encoder.smp:SmpEncoder",
    },
    "decoder": {
        "unet": "mmtk.components.decoder.unet:UNetDecoder",
        "smp": "mmtk.components.decoder.smp:SmpDecoder",
    },
    "ssl": {
        "none": "mmtk.components.ssl.none:NoSSL",
        "confidence": "mmtk.components.ssl.confidence:Confidence",
        "mixmatch": "mmtk.components.ssl.mixmatch:MixMatch",
    },
    "consistency": {
        "none": "mmtk.components.consistency.none:NoConsistency",
        "kl": "mmtk.components.consistency.kl:KL",
    },
    "bridge": {
        "none": "mmtk.components.bridge.none:NoBridge",
        "saliency": "mmtk.components.bridge.saliency:Saliency",
    },
    "loss": {
        "cross-entropy": "mmtk.components.loss.cross_entropy:CrossEntropy",
        "dice": "mmtk.components.loss.dice:Dice",
        "smp": "mmtk.components.loss.smp:SmpLoss",
    },
    "augment": {
        "none": "mmtk.components.augment.none:NoAugment",
        "weak": "mmtk.components.augment.weak:Weak",
        "strong": "mmtk.components.augment.strong:Strong",
    },
    "source": {
        "phantom": "mmtk.components.source.phantom:Phantom",
        "chex": "mmtk.components.source.chex:CheX",
        "jsrt": "mmtk.components.source.jsrt:JSRT",
        "mcu": "mmtk.components.source.mcu:MCU",
        "nihx": "mmtk.components.source.nihx:NIHX",
        "folder": "mmtk.components.source.folder:Folder",
    },
    "metric": {
        "classification": "mmtk.components.metric.classification:Classification",
        "segmentation": "mmtk.components.metric.segmentation:Segmentation",
    },
    "launcher": {
        "inline": "mmtk.components.launcher.inline:Inline",
        "process": "mmtk.components.launcher.process:Process",
    },
    "search": {"random": "mmtk.components.search.random:Random"},
}

# What the plugins that are developed with mmtk bring: a recipe that needs one of them says what to install.
BESIDE: dict[str, tuple[str, ...]] = {
    "mmtk-ssl-zoo": (
        "ssl/pseudo-label",
        "ssl/entropy",
        "ssl/pi-model",
        "ssl/mean-teacher",
        "ssl/uda",
        "ssl/fixmatch",
        "ssl/flexmatch",
        "ssl/freematch",
        "ssl/softmatch",
    ),
    "mmtk-seg-zoo": (
        "consistency/entropy",
        "consistency/mean-teacher",
        "consistency/ua-mt",
        "consistency/cps",
        "consistency/weak-strong",
        "consistency/cutmix",
        "consistency/area-prior",
    ),
    "mmtk-captum": ("bridge/captum", "bridge/grad-cam", "bridge/attention"),
    "mmtk-pretrained": ("encoder/imagenet",),
    "mmtk-self-start": ("ssl/simclr", "ssl/masked"),
    "mmtk-adapt": ("source/histogram", "source/lung-crop"),
    "mmtk-release": ("consistency/release-kl", "augment/release-strong"),
    "mmtk-ray": ("launcher/ray",),
    "mmtk-slurm": ("launcher/slurm",),
    "mmtk-optuna": ("search/optuna",),
}

OURS = "mmtk"
CODE = "code"  # stands for the distribution of what a local file brings
State = Literal["ok", "clash", "excluded", "hidden"]


@dataclass(frozen=True)
class Entry:
    """One component: its word, where it is defined and which distribution brings it.

    ``excluded`` holds the distribution's requirement on mmtk that this version does not meet. Of a component
    in a local file the name is ``code/ClassName`` and the version the first digits of the file's hash.
    """

    kind: str
    name: str
    target: str
    dist: str = OURS
    version: str = ""
    excluded: str = ""

    @property
    def word(self) -> str:
        """``kind/name``, as messages and ``mmtk plugins`` print it."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Code:
    """A local file of components: where it lies, what it said when it was loaded, and what is in it."""

    path: Path
    text: bytes
    entries: tuple[Entry, ...] = ()

    @property
    def sha256(self) -> str:
        """The hash that runs are known by."""
        import hashlib

        return hashlib.sha256(self.text).hexdigest()


_local: list[Code] = []


def code() -> Code | None:
    """The local file whose components are offered, if one was named (``mmtk.registry.local_file.use``)."""
    return _local[0] if _local else None


def offer(code: Code | None) -> None:
    """Offer the components of a local file, instead of any other's."""
    _local[:] = [] if code is None else [code]


def version() -> str:
    """The version of mmtk."""
    from mmtk import __version__

    return __version__


def _excluded(dist: metadata.Distribution) -> str:
    """The distribution's requirement on mmtk if it rules out this version; read without importing it."""
    for line in dist.requires or []:
        if not line.lower().startswith("mmtk"):
            continue
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.name.lower() == OURS and not requirement.specifier.contains(version(), prereleases=True):
            return str(requirement)
    return ""


@cache
def _third_party() -> tuple[Entry, ...]:
    from importlib import metadata

    components: list[Entry] = []
    for dist in metadata.distributions():
        try:
            brought = list(_entries_of(dist))
        except Exception as error:  # whatever is wrong with a plugin's metadata must not stop the others
            location = vars(dist).get("_path", dist)
            message = f"{location}: this plugin's metadata cannot be read, so it is left out: {error!r}"
            warnings.warn(message, stacklevel=2)
            continue
        # The first of a name on sys.path wins, as an import would have it.
        if not {_normal(entry.dist) for entry in brought} & {_normal(entry.dist) for entry in components}:
            components += brought
    return tuple(components)


def _entries_of(dist: metadata.Distribution) -> Iterator[Entry]:
    if "[mmtk." not in (dist.read_text("entry_points.txt") or ""):
        return
    name, excluded = dist.metadata["Name"], _excluded(dist)
    if not name:
        raise ValueError("it has no name")
    for point in dist.entry_points:
        kind = point.group.removeprefix("mmtk.")
        if kind in KINDS and kind != point.group:
            yield Entry(kind, point.name, point.value, name, dist.version, excluded)


def _normal(dist: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", dist).lower()


def hidden(entry: Entry) -> bool:
    """Whether ``MMTK_PLUGINS`` (a comma-separated list of distributions; empty: none) leaves the entry out."""
    allowed_names = os.environ.get("MMTK_PLUGINS")
    if allowed_names is None or entry.dist in (OURS, CODE):
        return False
    return _normal(entry.dist) not in {_normal(name.strip()) for name in allowed_names.split(",")}


def entries(kind: str | None = None, *, everything: bool = False) -> list[Entry]:
    """All visible components (of one kind), by kind and name; ``everything`` adds hidden and excluded ones."""
    builtins = [
        Entry(kind_name, name, target, OURS, version())
        for kind_name, table in BUILTINS.items()
        for name, target in table.items()
    ]
    selection = [
        entry
        for entry in [*builtins, *_third_party(), *(entry for code in _local for entry in code.entries)]
        if (kind is None or entry.kind == kind) and (everything or usable(entry))
    ]
    order = [*KINDS]
    return sorted(selection, key=lambda e: (order.index(e.kind), e.name, e.dist != OURS, e.dist))


def usable(entry: Entry) -> bool:
    """Whether recipes may name the entry."""
    return not (hidden(entry) or entry.excluded)


def states() -> list[tuple[Entry, State]]:
    """Every component, with whether a recipe can use it by its bare name; nothing is imported."""
    everything = entries(everything=True)
    words = Counter(entry.word for entry in everything if usable(entry))
    return [(entry, _state(entry, words[entry.word])) for entry in everything]


def _state(entry: Entry, owners: int) -> State:
    if entry.excluded:
        return "excluded"
    if hidden(entry):
        return "hidden"
    return "clash" if owners > 1 else "ok"


def find(kind: str, name: str) -> Entry:
    """Find the component that a recipe means by ``use = name`` (or ``"dist/name"``); errors name the choices."""
    dist, _, short = name.rpartition("/")
    candidates = [
        entry
        for entry in entries(kind, everything=True)
        if entry.name == name or (entry.name == short and _normal(dist) in ("", _normal(entry.dist)))
    ]
    fine = [entry for entry in candidates if usable(entry)]
    if len(fine) == 1:
        return fine[0]
    if fine:
        owners = " and ".join(f"{e.dist} {e.version}".strip() for e in fine)
        raise MmtkError(f'{kind}/{short} is provided by {owners}. Say which: use = "{fine[0].dist}/{short}".')
    raise _unusable(candidates[0]) if candidates else _unknown(kind, name)


def _unusable(entry: Entry) -> MmtkError:
    """Error of a component that is installed, and excluded or hidden."""
    if entry.excluded:
        return MmtkError(
            f"{entry.word} comes from {entry.dist} {entry.version}, which asks for '{entry.excluded}', "
            f"but this is mmtk {version()}.",
            hint=f"Install a version of {entry.dist} made for mmtk {version()}.",
        )
    return MmtkError(
        f"{entry.word} comes from {entry.dist}, which MMTK_PLUGINS hides.",
        hint=f"Add {entry.dist} to MMTK_PLUGINS, or unset it.",
    )


def _unknown(kind: str, name: str) -> MmtkError:
    """Error of a name that no component of the kind has, with what it may have meant."""
    dist, _, short = name.rpartition("/")
    if dist == CODE and not _local:
        return MmtkError(
            f"{kind}/{name} is a class in a local file, and no file was named.",
            hint="Name it: --code FILE.py (in Python: mmtk.registry.local_file.use). "
            "A recipe alone never runs code.",
        )
    for beside, words in BESIDE.items():
        if f"{kind}/{short}" in words and _normal(dist) in ("", beside):
            return MmtkError(
                f"{kind}/{short} is part of {beside}, which is not installed.",
                hint=f"Install it: {plugin_line(beside)}",
            )
    names = sorted({entry.name for entry in entries(kind)})
    other_kinds = [entry for entry in entries() if entry.kind != kind and entry.name in (name, short)]
    if other_kinds:
        other = max(other_kinds, key=lambda entry: entry.name == name)
        tail = f" '{other.name}' is {_a(other.kind)}, not {_a(kind)}."
    else:
        tail = nearest(name, names) or nearest(short, names)
    return MmtkError(f"No {kind} component is called '{name}'.{tail} Known: {listing(names)}.")


def _a(kind: str) -> str:
    """The kind with its article: an ssl, a bridge."""
    return f"{'an' if kind[0] in 'aeiou' or kind == 'ssl' else 'a'} {kind}"


def load(entry: Entry) -> type[Any]:
    """Import the component: the only place where a plugin's code runs."""
    try:
        loaded = attribute(entry.target)
    except (Exception, SystemExit) as error:
        origin = f"{entry.dist} {entry.version}".strip()
        raise MmtkError(
            f"{entry.word} comes from {origin} ({entry.target}) and could not be imported:\n"
            f"    {type(error).__name__}: {error}",
            hint=f"Reinstall or remove {entry.dist}; nothing else in mmtk depends on it.",
        ) from error
    if not isinstance(loaded, type):
        raise MmtkError(
            f"{entry.word} ({entry.target}) is {type(loaded).__name__}, not a class.",
            hint=f"The entry point of {entry.dist} must name a class that subclasses mmtk.api's contract.",
        )
    return loaded
