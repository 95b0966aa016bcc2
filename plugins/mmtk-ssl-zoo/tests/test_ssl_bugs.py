"""Bugs of released code, written out: the oracle refuses each, and the contract those that it can see."""

import pytest
import torch
from mmtk.api import SSL, Term
from mmtk.testing import ContractError, suite
from ssl_oracle import ORACLES, assert_follows, make
from torch.nn import functional as F

from mmtk_ssl_zoo.confident import confident
from mmtk_ssl_zoo.state import State, align, uniform


class DeadMeanTeacher(SSL):
    """USB's Mean Teacher: the student's logits are the teacher's, so the term is 0 and has no gradient.

    weight: factor of the squared difference.
    """

    views = {"weak": 2}

    def __init__(self, supervised, twin, *, weight: float = 50.0):
        super().__init__()
        self.supervised, self.teacher, self.weight = supervised, twin(0.999), weight

    def terms(self, classify, labelled, unlabelled, now):
        terms = self.supervised(classify, labelled)
        mine, others = unlabelled["weak"]
        classify(mine)
        with torch.no_grad():
            student = target = self.teacher(others)
        terms["consistency"] = Term(F.mse_loss(student.softmax(1), target.softmax(1)), self.weight)
        return terms


class BluntUDA(SSL):
    """USB's UDA: the temperature is a key that reaches nothing.

    temperature: unused.
    """

    views = {"weak": 1, "strong": 1}

    def __init__(self, supervised, *, temperature: float = 0.4):
        super().__init__()
        self.supervised = supervised

    def terms(self, classify, labelled, unlabelled, now):
        terms = self.supervised(classify, labelled)
        with torch.no_grad():
            target = classify(unlabelled["weak"][0]).softmax(1)
            accepted = (target.max(1).values >= 0.8).float()
        logits = classify(unlabelled["strong"][0])
        return terms | confident("uda", logits, target, accepted, 1.0, unlabelled, now)


class TargetsThatLearn(SSL):
    """UDA without its stop: the weak view's target is trained towards the strong view, too."""

    views = {"weak": 1, "strong": 1}

    def __init__(self, supervised):
        super().__init__()
        self.supervised = supervised

    def terms(self, classify, labelled, unlabelled, now):
        terms = self.supervised(classify, labelled)
        logits = classify(unlabelled["weak"][0])
        accepted = (logits.softmax(1).max(1).values >= 0.8).float()
        target, strong = (logits / 0.4).softmax(1), classify(unlabelled["strong"][0])
        return terms | confident("uda", strong, target, accepted, 1.0, unlabelled, now)


class TwiceSoftMatch(SSL):
    """SoftMatch with the double softmax of released results: probabilities are taken for logits."""

    views = {"weak": 1, "strong": 1}

    def __init__(self, supervised, classes):
        super().__init__()
        self.supervised, self.classes = supervised, classes
        self.mean, self.variance = State(torch.tensor(1 / classes)), State(torch.tensor(1.0))
        self.predicted = uniform(classes)

    def terms(self, classify, labelled, unlabelled, now):
        terms = self.supervised(classify, labelled)
        with torch.no_grad():
            p = classify(unlabelled["weak"][0]).softmax(1)
            pseudo, wanted = p.argmax(1), torch.full((self.classes,), 1 / self.classes)
            top = align(p, self.predicted.average(p.mean(0), 0.5, now), wanted).softmax(1).max(1).values
            mean = self.mean.average(top.mean(), 0.5, now)
            variance = self.variance.average(top.var(), 0.5, now)
            share = (-(2 * (top - mean).clamp_max(0)).square() / (2 * variance)).exp()
        logits = classify(unlabelled["strong"][0])
        return terms | confident("softmatch", logits, pseudo, share, 1.0, unlabelled, now)


class Forgetful(State):
    """PyMIC's average: ``add`` for ``add_``, so that the new part is never stored."""

    def average(self, batch, momentum, now):
        self.value.copy_(self.before(now)).mul_(momentum).add((1 - momentum) * batch)
        return self.value


def failed(component):
    """The contract's checks that refuse a component, by name; the right components fail none."""
    names = []
    for check in suite("ssl", component):
        try:
            check()
        except ContractError:
            names.append(check.name)
    return names


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("broken", "word", "keys"),
    [
        (DeadMeanTeacher, "mean-teacher", {}),
        (BluntUDA, "uda", {}),
        (TwiceSoftMatch, "softmatch", {"momentum": 0.5}),
    ],
    ids=["mean-teacher", "uda", "softmatch"],
)
def test_the_oracle_refuses_the_bug(broken, word, keys, classes):
    assert_follows(make(word, classes, **keys), ORACLES[word](classes, **keys), classes)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_follows(make(broken, classes), ORACLES[word](classes, **keys), classes)


def test_the_oracle_refuses_an_average_that_is_not_stored():
    right, broken = make("freematch", 2, momentum=0.5), make("freematch", 2, momentum=0.5)
    broken.confidence = Forgetful(torch.tensor(0.5)).double()
    assert_follows(right, ORACLES["freematch"](2, momentum=0.5), 2)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_follows(broken, ORACLES["freematch"](2, momentum=0.5), 2)


def test_the_oracle_refuses_freematchs_means_that_begin_at_one():
    """An early release of USB: the first threshold is 1 instead of 1/C, so that nothing is learned from."""
    broken = make("freematch", 2)
    for state in (broken.confidence, broken.predicted, broken.histogram):
        state.value.fill_(1.0)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_follows(broken, ORACLES["freematch"](2), 2)


def test_the_contract_refuses_a_student_without_a_gradient():
    assert failed(DeadMeanTeacher) == ["every-weighted-term-is-alive"]


def test_the_contract_refuses_a_target_that_learns():
    assert failed(TargetsThatLearn) == ["targets-carry-no-gradient"]
