"""Bugs of released code, written out: the oracle refuses each, and the contract those that it can see."""

import math

import pytest
import torch
from mmtk.api import Consistency, Term
from mmtk.testing import ContractError, suite
from seg_oracle import ORACLES, Bench, assert_follows

from mmtk_seg_zoo.boxes import boxes
from mmtk_seg_zoo.classes import cross_entropy, entropy, log_classes
from mmtk_seg_zoo.noise import noisy


class Background(Consistency):
    """SSL4MIS's FixMatch: pixels that are not confident become background labels."""

    views = {"weak": 1, "strong": 1}

    def __init__(self, supervised, exclusive):
        super().__init__()
        self.supervised, self.exclusive = supervised, exclusive

    def terms(self, segment, labelled, unlabelled, now):
        terms = self.supervised(segment, labelled)
        with torch.no_grad():
            confidence, pseudo = log_classes(segment(unlabelled["weak"][0]), self.exclusive).exp().max(1)
            accepted = (confidence >= 0.8).float()
        strong = log_classes(segment(unlabelled["strong"][0]), self.exclusive)
        value = cross_entropy(strong, torch.where(accepted > 0, pseudo, 0)).mean()
        return terms | {"weak-strong": Term(value, 1.0, active=accepted.mean())}


class TwoClasses(Consistency):
    """UA-MT's published code with more classes: the threshold keeps the ln 2 of two."""

    def __init__(self, supervised, twin, exclusive):
        super().__init__()
        self.supervised, self.teacher, self.exclusive = supervised, twin(0.99), exclusive

    def terms(self, segment, labelled, unlabelled, now):
        terms, x = self.supervised(segment, labelled), unlabelled.image
        with torch.no_grad():
            target, *others = (
                log_classes(self.teacher(noisy(x, 0.1, now, f"noise-{i}")), self.exclusive).exp() for i in range(9)
            )
            sure = (entropy(torch.stack(others).mean(0).log()) < math.log(2)).to(target)
        gap = (log_classes(segment(x), self.exclusive).exp() - target).square().sum(1)
        value = (sure * gap).sum() / (target.shape[1] * sure.sum())
        return terms | {"consistency": Term(value, 0.1, active=sure.mean())}


class TargetsNotCut(Consistency):
    """CutMix whose images are cut together and whose targets are not."""

    def __init__(self, supervised, twin, exclusive):
        super().__init__()
        self.supervised, self.teacher, self.exclusive = supervised, twin(0.99), exclusive

    def terms(self, segment, labelled, unlabelled, now):
        terms, x = self.supervised(segment, labelled), unlabelled.image
        box = boxes(len(x), (x.shape[-2], x.shape[-1]), 0.5, now.generator("cutmix")).to(x)
        with torch.no_grad():
            target = log_classes(self.teacher(x), self.exclusive).exp()
            sure = (target.max(1).values > 0.8).float().mean()
        mixed = log_classes(segment(box * x + (1 - box) * x.roll(1, 0)), self.exclusive).exp()
        value = sure * (mixed - target).square().sum(1).mean()
        return terms | {"cutmix": Term(value, 1.0, active=sure)}


class Certain(Consistency):
    """Entropy of a softmax over whatever channels there are: over one it is 0 for ever."""

    def __init__(self, supervised):
        super().__init__()
        self.supervised = supervised

    def terms(self, segment, labelled, unlabelled, now):
        terms = self.supervised(segment, labelled)
        found = entropy(segment(unlabelled.image).log_softmax(1)).mean()
        return terms | {"entropy": Term(found, 0.1)}


class LiveTargets(Consistency):
    """Weak-to-strong consistency whose target learns, too."""

    views = {"weak": 1, "strong": 1}

    def __init__(self, supervised, exclusive):
        super().__init__()
        self.supervised, self.exclusive = supervised, exclusive

    def terms(self, segment, labelled, unlabelled, now):
        terms = self.supervised(segment, labelled)
        target = log_classes(segment(unlabelled["weak"][0]), self.exclusive).exp()
        strong = log_classes(segment(unlabelled["strong"][0]), self.exclusive)
        return terms | {"soft": Term(-(target * strong).sum(1).mean(), 1.0)}


def failed(component):
    """The contract's checks that refuse a component, by name."""
    names = []
    for check in suite("consistency", component):
        try:
            check()
        except ContractError:
            names.append(check.name)
    return names


@pytest.mark.parametrize(
    ("broken", "word", "keys", "channels", "exclusive"),
    [
        (Background, "weak-strong", {"threshold": 0.8}, 1, False),
        (Background, "weak-strong", {"threshold": 0.8}, 4, True),
        (TwoClasses, "ua-mt", {"ramp": 0.0}, 4, True),
        (TargetsNotCut, "cutmix", {"threshold": 0.8}, 1, False),
        (TargetsNotCut, "cutmix", {"threshold": 0.8}, 4, True),
    ],
)
def test_the_oracle_refuses_the_bug(broken, word, keys, channels, exclusive):
    right, wrong = Bench(word, channels, exclusive, keys), Bench(broken, channels, exclusive, {})
    assert_follows(right, ORACLES[word](right, **keys))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_follows(wrong, ORACLES[word](wrong, **keys))


def test_with_two_classes_the_threshold_of_ua_mt_is_right_by_chance():
    bench = Bench(TwoClasses, 1, False, {})
    assert_follows(bench, ORACLES["ua-mt"](bench, ramp=0.0))


def test_the_contract_refuses_a_softmax_over_one_channel():
    assert "every-weighted-term-is-alive" in failed(Certain)


def test_the_contract_refuses_a_target_that_learns():
    assert failed(LiveTargets) == ["targets-carry-no-gradient"]
