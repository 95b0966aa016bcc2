"""Simulated comparisons of two systems that are equal on average: effects of seeds, of patients, and noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from patients import clusters

from mmtk import stats
from mmtk.stats import Jackknife

# Standard deviations of the effects of a seed and of a patient on the difference; noise of an image has 1.
SETTINGS = {"seeds": (0.5, 0.2), "both": (0.15, 1.0), "patients": (0.02, 1.0), "noise": (0.0, 0.0)}


def latent(rng: np.random.Generator, seeds: int, of: np.ndarray, setting: str) -> np.ndarray:
    """Values [2 systems, seeds, images] of mean 0: a shared difficulty, effects on each system, and noise."""
    seed_sd, patient_sd = SETTINGS[setting]
    count = of.max() + 1
    difficulty = rng.normal(0, 1, count)[of]
    seed_effects = rng.normal(0, seed_sd, (2, seeds, 1))
    patient_effects = rng.normal(0, patient_sd, (2, 1, count))[:, :, of]
    image_effects = rng.normal(0, patient_sd, (2, 1, len(of)))
    return difficulty + seed_effects + patient_effects + image_effects + rng.normal(0, 1, (2, seeds, len(of)))


def _of(rng: np.random.Generator, count: int, is_clustered: bool) -> np.ndarray:
    return clusters(rng, count) if is_clustered else np.arange(count)


def _gap(formula: str, systems: list[dict[str, np.ndarray]], of: np.ndarray) -> Jackknife:
    return stats.difference(*(stats.jackknife(formula, columns, of) for columns in systems))


def mean(rng: np.random.Generator, seeds: int, count: int, setting: str, is_clustered: bool = True) -> Jackknife:
    """Of normal values per image."""
    of = _of(rng, count, is_clustered)
    return _gap("mean:x", [{"x": values} for values in latent(rng, seeds, of, setting)], of)


def tail(rng: np.random.Generator, seeds: int, count: int, setting: str, is_clustered: bool = True) -> Jackknife:
    """Mean of a Dice of 0.95 that falls far for the hardest tenth of the images."""
    of = _of(rng, count, is_clustered)
    values = latent(rng, seeds, of, setting) / math.sqrt(2 + sum(2 * sd**2 for sd in SETTINGS[setting]))
    return _gap("mean:x", [{"x": 0.95 - 0.02 * one - 0.3 * np.maximum(one - 1.3, 0)} for one in values], of)


def right(rng: np.random.Generator, seeds: int, count: int, setting: str, is_clustered: bool = True) -> Jackknife:
    """Accuracy of about 0.8."""
    of = _of(rng, count, is_clustered)
    values = latent(rng, seeds, of, setting)
    spread = math.sqrt(2 + 2 * SETTINGS[setting][1] ** 2 + SETTINGS[setting][0] ** 2)
    target = np.ones((seeds, len(of)))
    return _gap("accuracy", [{"target": target, "predicted": (one < 0.84 * spread) * 1.0} for one in values], of)


def ranked(formula: str, shift: float = 1.0) -> Callable[..., Jackknife]:
    """A score of two classes; a seed moves how far they lie apart, a patient has one class in nine of ten."""

    def world(
        rng: np.random.Generator, seeds: int, count: int, setting: str, is_clustered: bool = True
    ) -> Jackknife:
        of = _of(rng, count, is_clustered)
        of_patient = rng.random(count) < 0.4
        target = np.where(rng.random(len(of)) < 0.1, rng.random(len(of)) < 0.4, of_patient[of])
        seed_sd, patient_sd = SETTINGS[setting]
        apart = shift * (1 + rng.normal(0, seed_sd, (2, seeds, 1)))
        values = (target - 0.5) * apart * 2 + latent(rng, seeds, of, setting)
        values = values / math.sqrt(2 + 2 * patient_sd**2)
        positive = 1 / (1 + np.exp(-values))
        labels = np.tile(target * 1.0, (seeds, 1))
        return _gap(
            formula,
            [
                {"target": labels, "predicted": (one > 0.5) * 1.0, "p-no": 1 - one, "p-yes": one}
                for one in positive
            ],
            of,
        )

    return world
