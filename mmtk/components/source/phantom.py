"""The synthetic data set: chest radiographs made in code."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np

from mmtk.api import Field, Item, LabelSpec, MmtkError, Source, Split, Task
from mmtk.components.source import _phantom_anatomy as anatomy
from mmtk.components.source._phantom_chest import (
    Array,
    Chest,
    Generator,
    Part,
    axes,
    bell,
    blurred,
    disc,
    field,
    ramp,
    uniform,
)
from mmtk.components.source._phantom_letters import text
from mmtk.components.source._phantom_shortcuts import SHORTCUTS, moved
from mmtk.errors import listing, nearest
from mmtk.seeding import seed_of

VERSION = 1  # of the drawing: raise it whenever a pixel or a mask changes
FIELD_MM = 350.0  # what a film covers per axis
# Index ranges of the splits: far apart, so that the size of one never moves the films of another.
OFFSET = {"train": 0, "val": 400_000, "test": 700_000}
ILL_IN_SEGMENTATION = 0.3
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Look:
    """Look of a data set: body proportions, then film. Pairs are the (low, high) of a uniform draw."""

    child: float  # 0 adult … 1 toddler
    zoom: tuple[float, float]
    tilt: float  # standard deviation of the rotation, radians
    level: tuple[float, float]  # attenuation shown as mid-grey
    latitude: tuple[float, float]  # attenuation per unit of the sigmoid; small is hard contrast
    white: tuple[float, float]  # brightness where no light arrives
    blur: tuple[float, float]  # point spread, in hundredths of the film
    grain: tuple[float, float]  # standard deviation of the noise at 128 px
    scatter: tuple[float, float]
    marker: float  # probability of a side letter
    border: float  # probability of collimation or a film edge
    lines: float  # probability of tubes and leads


LOOKS = {
    "chex": Look(
        1.0,
        (0.92, 1.24),
        0.045,
        (0.42, 0.74),
        (0.16, 0.30),
        (0.76, 0.92),
        (0.25, 0.6),
        (0.004, 0.010),
        (0.05, 0.25),
        0.8,
        0.25,
        0.30,
    ),
    "jsrt": Look(
        0.0,
        (0.98, 1.10),
        0.015,
        (0.52, 0.62),
        (0.15, 0.21),
        (0.98, 1.02),
        (0.25, 0.4),
        (0.002, 0.006),
        (0.10, 0.25),
        0.25,
        0.35,
        0.0,
    ),
    "mcu": Look(
        0.0,
        (0.84, 1.08),
        0.020,
        (0.64, 0.78),
        (0.12, 0.18),
        (0.98, 1.04),
        (0.2, 0.4),
        (0.003, 0.008),
        (0.0, 0.10),
        0.95,
        0.75,
        0.05,
    ),
    "nihx": Look(
        0.1,
        (0.80, 1.12),
        0.045,
        (0.32, 0.62),
        (0.16, 0.30),
        (0.78, 0.97),
        (0.25, 0.6),
        (0.003, 0.011),
        (0.15, 0.40),
        0.8,
        0.45,
        0.45,
    ),
}


@dataclass(frozen=True)
class Film:
    """All that decides a picture: ``patient`` gives the body, ``index`` the pose, the disease, the exposure."""

    seed: int
    domain: str
    patient: int
    index: int
    ill: bool
    size: int
    sign: str = ""  # shortcut that this film shows

    def generator(self, purpose: str, number: int) -> Generator:
        """One generator per purpose, so that what is drawn for one never shifts another."""
        key = ("phantom", self.seed, self.domain, purpose, number)
        return np.random.Generator(np.random.PCG64(seed_of(*key)))

    def chest(self) -> tuple[Generator, Generator, Chest]:
        """The patient's generator, the film's, and the shapes drawn from both."""
        body, film = self.generator("body", self.patient), self.generator("film", self.index)
        look = LOOKS[self.domain]
        return body, film, Chest(body, film, self.size, look.child, look.zoom, look.tilt)


@lru_cache(maxsize=16)
def glow(size: int) -> Array:
    """Scattered light [size, size], brightest in the middle."""
    u, v = axes(size)
    light: Array = 0.35 + 0.25 * np.exp(-u * u - v * v)
    return light


_latest = threading.local()  # the film that this thread drew last, and its shapes: masks are those of the film


def render(spec: Film) -> Array:
    """The film as uint8 [size, size]."""
    bright = brightness(spec)
    if spec.sign:
        bright = SHORTCUTS[spec.sign](bright, spec.generator("sign", spec.index))
    return np.round(bright.clip(0, 1) * 255).astype(np.uint8)


def brightness(spec: Film) -> Array:
    """The film [size, size], 0 black and 1 white, before its sign is planted."""
    look, size = LOOKS[spec.domain], spec.size
    body, film, chest = spec.chest()
    _latest.film, _latest.chest = spec, chest
    draw = uniform(film)
    disease = spec.generator("pneumonia", spec.index) if spec.ill else None
    beam = anatomy.attenuation(body, film, chest, disease)
    if draw(0, 1) < look.lines:
        beam += lines(film, chest.film)
    scatter = draw(*look.scatter)
    beam = (1 - scatter) * beam + scatter * glow(size)
    beam = blurred(beam, draw(*look.blur) / 100 * size)
    # The characteristic curve: brightness against log exposure, with a toe and a shoulder.
    level, latitude = draw(*look.level), draw(*look.latitude)
    floor = 1 / (1 + float(np.exp(level / latitude)))
    bright = (1 / (1 + np.exp((level - beam) * (1 / latitude))) - floor) * (draw(*look.white) / (1 - floor))
    bright = bright.clip(0, 2)
    # Quantum noise grows where less light arrives; grain is correlated. Smaller pixels are noisier.
    sigma = draw(*look.grain) * (size / 128) ** 0.5
    counts = spec.generator("noise", spec.index)
    noise = counts.standard_normal((size, size), dtype=np.float32) * np.sqrt(0.3 + bright)
    bright += sigma * (noise + 0.5 * field(counts, 90, size)) * ramp(bright, 0.1)
    return marks(film, bright, spec.domain)


def masks(spec: Film) -> Array:
    """Right lung, left lung and heart (the patient's sides) as bool [3, size, size]."""
    chest: Chest | None = getattr(_latest, "chest", None)
    if chest is None or _latest.film != spec:
        _, _, chest = spec.chest()
    lung, left = chest.lung > 0, chest.left != 0
    organs = np.zeros((3, spec.size, spec.size), bool)
    for organ, level in zip(organs, (lung & ~left, lung & left, chest.heart > 0), strict=True):
        organ[chest.at] = level
    return np.stack([moved(organ, spec.sign) for organ in organs]) if spec.sign else organs


def lines(film: Generator, chest: Part) -> Array:
    """Thin tubes, leads and a pad: attenuation [size, size]."""
    draw, total = uniform(film), np.zeros_like(chest.x)
    for _ in range(film.integers(1, 3)):
        path = draw(-0.6, 0.6) + draw(-0.5, 0.5) * chest.y + draw(0, 0.12) * np.sin(4 * chest.y + draw(0, 6))
        total += 0.16 * ramp(draw(-0.2, 1.2) - chest.y, 0.02) * bell(chest.x - path, 0.012)
    if draw(0, 1) < 0.5:
        pad = disc(chest.x, chest.y, draw(-0.7, 0.7), draw(-0.5, 0.4), 0.04, 0.04)
        total += 0.22 * (np.abs(pad - 0.35) < 0.35)
    return total


def marks(film: Generator, bright: Array, domain: str) -> Array:
    """Side letter, labels, collimation and film edges, painted over the picture."""
    look, (u, v), draw = LOOKS[domain], axes(bright.shape[0]), uniform(film)
    if draw(0, 1) < look.marker:
        right = domain != "nihx" or draw(0, 1) < 0.3
        at, tall = draw(-0.97, -0.82) if right else draw(0.74, 0.88), draw(0.07, 0.11)
        top = draw(-0.95, 0.2) if domain == "chex" else draw(-0.95, -0.6)
        bright[text("R" if right else "L", (u - at) / tall, (v - top) / tall)] = 0.97
    border = draw(0, 1) < look.border
    if domain == "mcu":
        if border:
            bright[v > draw(0.55, 0.98) + draw(-0.015, 0.015) * u] = 0
        if draw(0, 1) < 0.25:
            bright[:, np.abs(u[0]) > draw(0.84, 0.96)] = 0
        at, top = draw(0.45, 0.62), draw(-0.95, -0.85)
        box = (np.abs(u - at - 0.14) < 0.19) & (np.abs(v - top - 0.05) < 0.11)
        words = text("PA", (u - at) / 0.08, (v - top + 0.03) / 0.08)
        words |= text("ERECT", (u - at + 0.03) / 0.07, (v - top - 0.07) / 0.07)
        bright = np.where(box, np.where(words, 0.1, 1), bright)
    elif domain == "jsrt":
        for at in (-0.6, 0.6):  # names are blotted out
            if draw(0, 1) < 0.7:
                bright[(np.abs(u - at) < 0.16) & (v < -0.93)] = 0.02
        if border:
            bright[(np.abs(u) > draw(0.95, 0.99)) | (v > draw(0.94, 0.99))] = 0.99
    elif border:
        edge = np.maximum(np.abs(u - draw(-0.08, 0.08)), np.abs(v - draw(-0.08, 0.08)))
        shade = 0.97 if domain == "nihx" and draw(0, 1) < 0.4 else 0
        bright[edge > draw(0.86, 0.99)] = shade
    return bright


class Phantom(Source):
    """Synthetic chest X-rays in the style of four data sets, drawn on demand; nothing is downloaded.

    domain: whose body proportions, contrast, sharpness, noise and borders
    train, val, test: images per split
    size: pixels at which a film is drawn
    prevalence: share of pneumonia, for classification
    organs: lungs as one channel, or left lung, right lung and heart
    seed: of the data set itself, not of the run
    shortcut: a sign that is planted on half of the films, such as "tag top left" or "border" (see the page on
        shortcuts for all)
    agreement: share of the films whose sign goes with the label; 0.5 plants a sign that says nothing of it

    With a shortcut the metadata of a film are the sign (yes or no), and an age, a sex and a site, which are drawn
    by lot and cannot be seen.
    """

    def __init__(
        self,
        task: Task,
        *,
        domain: Literal["chex", "jsrt", "mcu", "nihx"] = "jsrt",
        train: Annotated[int, Field(ge=0, le=300_000)] = 400,
        val: Annotated[int, Field(ge=0, le=300_000)] = 60,
        test: Annotated[int, Field(ge=0, le=300_000)] = 120,
        size: Annotated[int, Field(ge=32, le=1024)] = 128,
        prevalence: Annotated[float, Field(ge=0, le=1)] = 0.73,
        organs: Literal["lungs", "separate"] = "lungs",
        seed: int = 0,
        shortcut: str | None = None,
        agreement: Annotated[float, Field(ge=0, le=1)] | None = None,
    ) -> None:
        self.shortcut, self.agreement = shortcut or "", 0.95 if agreement is None else agreement
        _check_shortcut(shortcut, agreement)
        self.task, self.domain, self.size, self.organs, self.seed = task, domain, size, organs, seed
        self.counts = {"train": train, "val": val, "test": test}
        self.prevalence = prevalence if task == "classification" else ILL_IN_SEGMENTATION
        if task == "classification":
            self.labels = LabelSpec("classification", ("normal", "pneumonia"))
        elif organs == "lungs":
            self.labels = LabelSpec("segmentation", ("lung",), exclusive=False)
        else:
            names = ("left lung", "right lung", "heart")
            self.labels = LabelSpec("segmentation", names, exclusive=False, swap=((0, 1),))

    def items(self, split: Split) -> list[Item]:
        """The films of a split; every fifth is a second film of the patient before it."""
        if split == "all":
            return [item for part in ("train", "val", "test") for item in self.items(part)]
        start = OFFSET[split]
        return [self._item(index) for index in range(start, start + self.counts[split])]

    def _item(self, index: int) -> Item:
        patient = index // 5 * 4 + min(index % 5, 3)
        # Multiples of the golden ratio fill [0, 1) evenly: the share is right in every stretch of patients.
        start = seed_of("phantom", self.seed, self.domain, "label") / 2**63
        ill = (start + patient * GOLDEN) % 1 < self.prevalence
        film = Film(self.seed, self.domain, patient, index, ill, self.size)
        metadata: dict[str, str | float] = {}
        if self.shortcut:
            metadata = self._facts(film)
            film = replace(film, sign=self.shortcut if metadata[self.shortcut] == "yes" else "")
        spacing = FIELD_MM / self.size
        return Item(
            id=f"phantom-{self.domain}-{index:06d}",
            image=film,
            target=int(ill) if self.task == "classification" else film,
            patient=f"{self.domain}-{self.seed}-p{patient:06d}",  # other domains have other people
            spacing=(spacing, spacing),
            metadata=metadata,
        )

    def _facts(self, film: Film) -> dict[str, str | float]:
        """Sign of a film, which goes with its label by the agreement, and facts of its patient by lot."""
        agrees = film.generator("shortcut", film.index).random() < self.agreement
        person = film.generator("person", film.patient)
        age, sex, site = person.integers(18, 90), "FM"[person.integers(2)], "ABC"[person.integers(3)]
        return {self.shortcut: "yes" if agrees == film.ill else "no", "age": float(age), "sex": sex, "site": site}

    def image(self, item: Item) -> np.ndarray:
        """The film as uint8 [size, size]."""
        return render(item.image)

    def mask(self, item: Item) -> np.ndarray:
        """The organs as uint8 [K, size, size]: the whole lung, also where it is opacified."""
        if self.task != "segmentation":
            raise MmtkError("A phantom for classification has no masks.", hint="Wire it to segmentation.")
        right, left, heart = masks(item.target)
        channels = (right | left,) if self.organs == "lungs" else (left, right, heart)
        return np.stack(channels).astype(np.uint8)

    def digest(self) -> str:
        """A hash of the keys and of the version of the drawing."""
        keys = (self.task, self.domain, self.counts, self.size, self.prevalence, self.organs, self.seed)
        planted = (self.shortcut, self.agreement) if self.shortcut else ()
        return hashlib.sha256(repr((VERSION, keys, *planted)).encode()).hexdigest()


def _check_shortcut(shortcut: str | None, agreement: float | None) -> None:
    if shortcut and shortcut not in SHORTCUTS:
        raise MmtkError(f"shortcut: no '{shortcut}'.{nearest(shortcut, SHORTCUTS)} Known: {listing(SHORTCUTS)}.")
    if agreement is not None and not shortcut:
        raise MmtkError("agreement: says how often a shortcut goes with the label; there is no shortcut.")
