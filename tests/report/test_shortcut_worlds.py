"""Worlds with a planted shortcut, and without: a network is trained in each, and the report names the shortcut."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from loops import some
from tiny import TINY

import mmtk
from mmtk.components.source import phantom
from mmtk.components.source._phantom_shortcuts import SHORTCUTS
from mmtk.report.analysis import analyse
from mmtk.report.readings import Reading
from mmtk.report.tables.strata import warnings
from mmtk.study.results import from_runs

LOTS = {"age", "sex", "site"}  # attributes that are drawn by lot
PLANTED, CLEAN = 0.98, 0.5  # share of the training films whose sign goes with their label
# Steps and training films by that share: a sign is learned sooner than pneumonia.
TRAINING = {PLANTED: (70, 400), CLEAN: (150, 600)}
SIZE = 32


@pytest.fixture(autouse=True, scope="module")
def _films_drawn_once() -> Iterator[None]:
    """All worlds have the same films below their signs."""
    drawn = functools.cache(phantom.brightness)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom, "brightness", lambda film: drawn(replace(film, sign="")))
        yield


def world(folder: Path, shortcut: str, agreement: float) -> list[Reading]:
    """Attributes that the report of a run names; its cross-domain set shows the sign on any film, by lot."""
    steps, films = TRAINING[agreement]
    common = {"domain": "chex", "size": SIZE, "prevalence": 0.5, "shortcut": shortcut, "test": 400, "val": 20}
    sources = {
        "source": {**common, "train": films, "agreement": agreement},
        "cross": {**common, "train": 4, "agreement": CLEAN, "seed": 5},
    }
    values = TINY | {
        f"data.classification.{role}.{key}": value for role, keys in sources.items() for key, value in keys.items()
    }
    # At 32 px some films of the phantom are near-identical; "full" is every training film.
    values |= {"data.size": SIZE, "data.leaks": "allow", "data.classification.labels": "full"}
    values |= {"encoder.width": 8, "encoder.depth": 4, "encoder.dropout": 0.0}
    values |= {"train.steps": steps, "train.validate_every": steps // 2, "train.batch": 16, "train.lr": 0.002}
    mmtk.run(mmtk.load_recipe("enc", "phantom", values), folder, pictures=False)
    found = analyse(from_runs([folder])).readings
    alarms = [one for one in found.readings if one.alarms]
    assert len(warnings(found)) >= len({one.images.name for one in alarms})
    return alarms


def names(alarms: list[Reading], shortcut: str) -> bool:
    """Whether the planted sign is named, and nothing that is drawn by lot."""
    told = {one.attribute for one in alarms}
    return shortcut in told and not told & LOTS


@pytest.mark.long
def test_of_thirty_shortcuts_the_report_names_28(tmp_path):
    assert len(SHORTCUTS) == 30
    tried = some(list(SHORTCUTS), least=3)
    missed = [name for name in tried if not names(world(tmp_path / name, name, PLANTED), name)]
    assert len(missed) <= len(tried) // 15, missed


@pytest.mark.long
def test_in_thirty_clean_worlds_there_is_at_most_one_alarm(tmp_path):
    tried = some(list(SHORTCUTS), least=3)
    alarmed = [name for name in tried if world(tmp_path / name, name, CLEAN)]
    assert len(alarmed) <= len(tried) // 30, alarmed
