"""The list of mutants is whole and fresh; ``python tests/mutants`` proves that the tests kill them."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MUTANTS = tomllib.loads(Path(__file__).with_name("mutants.toml").read_text(encoding="utf-8"))["mutant"]

# Every bug that was seen in public code, by what the source of its mutant says.
SEEN = {
    "release: KL over one channel": "lines 460-466",
    "release: validation is never computed": "lines 562, 594-615",
    "release: dropout on at test": "lines 327, 336",
    "release: labelled augmentations frozen": "line 528",
    "release: loaders unshuffled": "lines 305-308",
    "release: mixed normalisation": "lines 251-273, 298",
    "release: learning rate 1e-16": "lines 623, 630",
    "release: zero steps with all labels": "lines 279-282",
    "release: count is undefined": "line 693",
    "student's logits without gradient": "USB meanteacher.py:55",
    "sharpening never applied": "USB hooks/pseudo_label.py:51",
    "double softmax": "USB #95",
    "one λ per batch": "TorchSSL #69",
    "EMA not in place": "PyMIC ssl_mt.py:113",
    "early stopping never fires": "PyMIC agent_seg.py:433",
    "low confidence becomes a label": "SSL4MIS train_fixmatch_standard_augs.py:284",
    "an empty prediction scores HD95 0": "SSL4MIS val_2D.py:15",
    "two classes hardwired": "SSL4MIS UA-MT",
    "selection on the test set": "USB #98",
    "a score that improves as more is missed": "MONAI #9095",
    "leakage between parts": "COVID-CT #11",
}
OWN = {
    "weak and strong swapped",
    "guess with gradient",
    "one share per batch",
    "sharpening dropped",
    "dropout on at test",
    "KL over one channel",
    "EMA not in place",
    "validation never chooses",
    "test images in training",
    "mask not clipped",
    "threshold itself refused",
    "resume a step late",
}


def test_every_bug_that_was_seen_has_its_mutant():
    missing = [bug for bug, source in SEEN.items() if not any(source in each["source"] for each in MUTANTS)]
    assert missing == []
    assert {each["name"] for each in MUTANTS} >= OWN
    assert len({each["name"] for each in MUTANTS}) == len(MUTANTS) >= 40


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant["name"])
def test_its_patch_fits_once_and_its_tests_exist(mutant):
    text = (ROOT / mutant["file"]).read_text(encoding="utf-8")
    assert text.count(mutant["old"]) == 1
    ast.parse(text.replace(mutant["old"], mutant["new"]))  # a mutant that is no Python kills nothing
    for test in mutant["tests"]:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name.split("[")[0] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
