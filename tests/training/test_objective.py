"""One step of every system: terms and total, paired draws, batch-norm statistics, the alarm, and twins."""

import copy
from functools import cache
from pathlib import Path

import pytest
import torch
from tiny import tiny
from torch import nn
from torch.nn import functional as F

from mmtk.api import SSL, Consistency, Encoder, Labelled, LabelSpec, StepContext, Term, Unlabelled
from mmtk.components._blocks import Dropout
from mmtk.components.consistency.kl import bernoulli_kl, categorical_kl
from mmtk.data.batches import Batch, BatchLoader
from mmtk.data.dataset import prepare
from mmtk.errors import RunFailed
from mmtk.model import build
from mmtk.model.network import ClassHead, MultiTaskNet
from mmtk.registry import catalog
from mmtk.training import strategies
from mmtk.training.dead_terms import Alarm, not_finite
from mmtk.training.objective import Objective, Step

TARGETS = {
    "classification": LabelSpec("classification", ("normal", "pneumonia")),
    "segmentation": LabelSpec("segmentation", ("lung",), exclusive=False),
}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMTK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def make(name, **changes):
    """The objective of a tiny recipe in training mode, and its streams."""
    recipe = tiny(name, **changes)
    data = prepare(recipe, None)
    net = build.network(recipe, data.targets)
    made = {
        task: strategies.strategy(recipe, kind, net, data.targets) if task in recipe.tasks else None
        for task, kind in (("classification", "ssl"), ("segmentation", "consistency"))
    }
    objective = Objective(net, made["classification"], made["segmentation"]).train()
    strategies_of = {task: strategy for task, strategy in made.items() if strategy is not None}
    views = {task: strategy.declared_views for task, strategy in strategies_of.items()}
    needs = {task: strategy.needs_unlabelled for task, strategy in strategies_of.items()}
    return objective, BatchLoader(recipe, data.stores, data.parts, views, needs)


@cache
def first_step(name, index=0):
    """The terms of a system's step with fresh weights."""
    everything = {"ssl.threshold": 0.0} if "classification/confidence" in TERMS[name] else {}
    objective, streams = make(name, **everything)
    step = objective(streams.batch(StepContext(0, index, 4)))
    return step, {key: float(term.value.detach()) for key, term in step.terms.items()}


# --- terms ---------------------------------------------------------------------------------------------------

SUPERVISED = {"classification/cross-entropy": 1.0, "segmentation/dice": 5.0}
CONFIDENCE = {
    "classification/confidence": 0.25,
    "classification/mask-rate": 0,
    "classification/pseudo-label-accuracy": 0,
}
KL = {"segmentation/kl": 0.01}
ENC, UNET = ({key: weight} for key, weight in SUPERVISED.items())
TERMS = {
    "enc": ENC,
    "enc-ssl": ENC | CONFIDENCE,
    "enc-mm": {
        "classification/mixed-cross-entropy": 1.0,
        "classification/mixed-squared-error": 0.0,
        "classification/pseudo-label-accuracy": 0,
    },
    "unet": UNET,
    "unet-ssl": UNET | KL,
    "umtl": SUPERVISED,
    "umtl-s": SUPERVISED,
    "umtl-ssl": SUPERVISED | CONFIDENCE,
    "umtl-ssl-s": SUPERVISED | CONFIDENCE,
    "multimix": SUPERVISED | CONFIDENCE | KL,
}


@pytest.mark.parametrize("name", TERMS)
def test_terms_and_total_of_every_system(name):
    step, values = first_step(name)
    always = {key: term.weight for key, term in step.terms.items()}
    assert always == {key: weight for key, weight in TERMS[name].items() if key in always}
    assert set(TERMS[name]) - set(always) <= {"classification/pseudo-label-accuracy"}
    total = sum(weight * values[key] for key, weight in always.items())
    assert step.loss.item() == pytest.approx(total, rel=1e-6)
    assert step.loss.requires_grad


def test_every_parameter_of_multimix_learns():
    objective, streams = make("multimix", ssl__threshold=0.0)
    objective.double()
    objective(as_double(streams.batch(StepContext(0, 0, 4)))).loss.backward()
    for key, p in objective.named_parameters():
        assert p.grad is not None, key
        assert p.grad.isfinite().all(), key
        # A bias in front of a norm has no effect: its gradient is rounding noise.
        assert key.endswith("bias") or p.grad.abs().max() > 1e-9, key


def as_double(batch):
    def convert(value):
        return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    def stream(each):
        known, others = each
        if others is not None:
            views = {key: tuple(map(convert, copies)) for key, copies in others.views.items()}
            others = Unlabelled(convert(others.image), others.index, views, others.truth)
        return Labelled(convert(known.image), convert(known.target), known.index), others

    return Batch(batch.now, stream(batch.classification), stream(batch.segmentation))


def test_the_gradient_of_the_total_is_the_weighted_sum_of_those_of_the_terms():
    objective, streams = make("multimix", ssl__threshold=0.0, encoder__dropout=0.0, decoder__dropout=0.0)
    objective.double()
    step = objective(as_double(streams.batch(StepContext(0, 0, 4))))
    assert step.loss.dtype == torch.float64
    parameters = list(objective.parameters())
    total = torch.autograd.grad(step.loss, parameters, retain_graph=True)
    summed = [torch.zeros_like(p) for p in parameters]
    for term in step.terms.values():
        if term.weight:
            found = torch.autograd.grad(term.value, parameters, retain_graph=True, allow_unused=True)
            summed = [s if g is None else s + term.weight * g for s, g in zip(summed, found, strict=True)]
    for a, b in zip(total, summed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_nothing_to_train_is_an_error():
    objective, streams = make("umtl", **{"loss.classification.weight": 0.0, "loss.segmentation.weight": 0.0})
    with pytest.raises(RunFailed, match="no term of the objective has a weight above 0"):
        objective(streams.batch(StepContext(0, 0, 4)))


# --- paired draws --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "systems"),
    [
        ("classification/cross-entropy", [name for name in TERMS if name not in ("unet", "unet-ssl", "enc-mm")]),
        ("classification/confidence", ["enc-ssl", "umtl-ssl", "umtl-ssl-s", "multimix"]),
        ("segmentation/dice", ["umtl", "unet", "unet-ssl", "umtl-ssl"]),
        ("segmentation/dice", ["umtl-s", "umtl-ssl-s", "multimix"]),
    ],
)
@pytest.mark.parametrize("index", [0, 3])
def test_a_component_that_is_off_changes_no_other_term(term, systems, index):
    """Equal weights, images, augmentation and dropout: what does not use the component has the same value."""
    values = [first_step(name, index)[1][term] for name in systems]
    assert values == pytest.approx([values[0]] * len(values), rel=1e-5)


BLOCKS = {"classification": 5, "segmentation": 9}


def dropped(name, index=0):
    """Which values each dropout of encoder and decoder drops in the labelled forward of either task."""
    objective, streams = make(name)
    batch, seen = streams.batch(StepContext(0, index, 4)), {}
    for task in ("classification", "segmentation"):
        zeros = []

        def hook(module, inputs, output, zeros=zeros):
            if module.training:  # not in the bridge
                zeros.append(output == 0)

        handles = [m.register_forward_hook(hook) for m in objective.net.modules() if isinstance(m, Dropout)]
        objective(Batch(batch.now, **{task: getattr(batch, task)}))
        for handle in handles:
            handle.remove()
        seen[task] = zeros[: BLOCKS[task]]
    return seen


def test_dropout_drops_the_same_values_for_umtl_and_multimix():
    umtl, multimix, later = dropped("umtl"), dropped("multimix"), dropped("umtl", index=1)
    for task, masks in umtl.items():
        assert len(masks) == BLOCKS[task]
        assert all(0.1 < mask.float().mean() < 0.4 for mask in masks)
        assert all(torch.equal(a, b) for a, b in zip(masks, multimix[task], strict=True))
        assert not any(torch.equal(a, b) for a, b in zip(masks, later[task], strict=True))
    assert not torch.equal(umtl["classification"][0], umtl["segmentation"][0])


def test_a_step_is_a_function_of_its_index_and_leaves_the_global_generator():
    objective, streams = make("multimix")
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    losses = [float(objective(streams.batch(StepContext(0, i, 4))).loss.detach()) for i in (2, 0, 2)]
    assert losses[0] == losses[2] != losses[1]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_two_mixmatch_steps_of_the_same_index_are_equal():
    objective, streams = make("enc-mm")
    batch = streams.batch(StepContext(0, 1, 4))
    terms = [objective(batch).terms for _ in range(2)]
    for key, term in terms[0].items():
        assert torch.equal(term.value, terms[1][key].value)


# --- precision and statistics --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["enc-mm", "multimix"])
def test_bf16_gives_fp32_terms_and_a_gradient_to_every_weight(name):
    """Also where a forward without gradient comes first and could leave casts without history behind."""
    objective, streams = make(name)
    with torch.autocast("cpu", torch.bfloat16):
        step = objective(streams.batch(StepContext(0, 3, 4)))
    assert all(term.value.dtype == torch.float32 for term in step.terms.values())
    step.loss.backward()
    weights = [p for key, p in objective.named_parameters() if key.endswith("weight")]
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in weights)


class Normed(Encoder):
    """Two levels of convolution and batch norm."""

    channels, strides = (4, 8), (1, 2)

    def __init__(self):
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, x):
        fine = self.fine(x)
        return [fine, self.coarse(fine)]


def normed_net():
    torch.manual_seed(0)
    return MultiTaskNet(Normed(), ClassHead(8, 2), None, None).train()


def class_batch(views, count=4):
    draw = torch.Generator().manual_seed(0)

    def images():
        return torch.randn(count, 1, 8, 8, generator=draw)

    made = {name: tuple(images() for _ in range(number)) for name, number in views.items()}
    known = Labelled(images(), torch.arange(count) % 2, torch.arange(count))
    return Batch(StepContext(0, 3, 9), (known, Unlabelled(images(), torch.arange(count), made)))


def remembered(net):
    return net.encoder.fine[1].running_mean.clone(), int(net.encoder.fine[1].num_batches_tracked)


class Watch(SSL):
    """Notes the images of every forward that carries gradient, and asks for features without gradient."""

    views = {"weak": 2}

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, []

    def terms(self, classify, labelled, unlabelled, now):
        def watched(images, *, statistics=True):
            if torch.is_grad_enabled():
                self.seen.append(images)
            return classify(images, statistics=statistics)

        with torch.no_grad():
            classify.features(labelled.image)
        return self.inner.terms(watched, labelled, unlabelled, now)


def test_only_the_first_interleaved_forward_updates_batch_norm():
    net, batch = normed_net(), class_batch({"weak": 2})
    strategy = Watch(strategies.strategy(tiny("enc-mm"), "ssl", net, TARGETS))
    Objective(net, strategy, None)(batch)
    assert len(strategy.seen) == 3
    mean, count = remembered(net)
    with torch.no_grad():
        expected = 0.1 * net.encoder.fine[0](strategy.seen[0]).mean((0, 2, 3))
    assert count == 1
    torch.testing.assert_close(mean, expected)


def test_passes_without_gradient_do_not_update_batch_norm():
    net, batch = normed_net(), class_batch({"weak": 1, "strong": 1})
    Objective(net, strategies.strategy(tiny("enc-ssl"), "ssl", net, TARGETS), None)(batch)
    known, others = batch.classification
    expected = torch.zeros(4)
    with torch.no_grad():
        for images in (known.image, others["strong"][0]):  # not the weak view
            expected = 0.9 * expected + 0.1 * net.encoder.fine[0](images).mean((0, 2, 3))
    torch.testing.assert_close(remembered(net)[0], expected)
    assert remembered(net)[1] == 2


# --- the alarm -----------------------------------------------------------------------------------------------


class Released(Consistency):
    """The released code's bug: a KL over the softmax of one channel."""

    def __init__(self, supervised, kl):
        super().__init__()
        self.supervised, self.kl = supervised, kl

    def terms(self, segment, labelled, unlabelled, now):
        logits = segment(labelled.image)
        kl = self.kl(logits, segment(unlabelled.image))
        return {**self.supervised(segment, labelled, logits), "kl": Term(kl, 0.01)}


@pytest.mark.parametrize(("kl", "dead"), [(categorical_kl, True), (bernoulli_kl, False)])
def test_the_released_kl_is_named_once_with_the_reason(kl, dead):
    objective, streams = make("unet-ssl")
    objective.consistency = Released(objective.consistency.supervised, kl)
    alarm, said = Alarm(), []
    for index in range(12):
        if index in Alarm.looks:
            step = objective(streams.batch(StepContext(0, index, 12)))
        alarm.look(index, step)
        said += alarm.verdict(index, 12)
    expected = (
        "The loss term segmentation/kl is exactly 0 and gives no gradient at the logits "
        "(looked at in step 1, 10). It has a weight but trains nothing."
    )
    assert said == ([expected] if dead else [])
    step.loss.backward()  # looking does not use up the graph


def step_of(logits, **terms):
    """A step with a living term beside those given."""
    terms = {"task/alive": Term(logits.square().mean())} | {f"task/{key}": term for key, term in terms.items()}
    return Step(terms["task/alive"].value, terms, [logits])


def verdict(*terms_at_looks, last=50):
    """What the alarm says after looking at the given terms (functions of the logits) in steps 1, 10 and 50."""
    alarm = Alarm()
    for index, terms in zip(Alarm.looks, terms_at_looks, strict=False):
        logits = torch.randn(3, 2, requires_grad=True) * 1
        alarm.look(index, step_of(logits, **{key: make_term(logits) for key, make_term in terms.items()}))
    return [sentence for index in range(last) for sentence in alarm.verdict(index, last)]


def dead_term(logits):
    return Term(0 * logits.sum())


def living_term(logits):
    return Term(logits.exp().sum())


@pytest.mark.parametrize(
    "explained",
    [
        lambda logits: Term(0 * logits.sum(), weight=0),
        lambda logits: Term(logits.detach().sum(), weight=0),
        lambda logits: Term(0 * logits.sum(), weight=75 * StepContext(0, 0, 9).progress),
        lambda logits: Term(0 * logits.sum(), active=0.0),
        lambda logits: Term(0 * logits.sum(), active=torch.tensor(0.0)),
    ],
    ids=["weight", "logged", "ramp", "confident-set", "confident-set-tensor"],
)
def test_what_explains_a_zero_is_no_alarm(explained):
    assert verdict({"term": explained}, {"term": explained}, {"term": explained}) == []
    # An explanation holds for its step only: a dead term is found as soon as the explanation is gone.
    assert len(verdict({"term": explained}, {"term": explained}, {"term": dead_term})) == 1
    assert verdict({"term": explained}, {"term": living_term}, {"term": dead_term}) == []


def test_a_term_is_dead_only_if_it_never_lived():
    assert verdict({"term": dead_term}, {"term": dead_term}, {"term": living_term}) == []
    assert verdict({"term": living_term}, {"term": dead_term}, {"term": dead_term}) == []
    assert len(verdict({"term": dead_term}, {"term": dead_term}, {"term": dead_term})) == 1


def test_a_loss_that_is_not_finite_comes_with_cures_that_are_not_in_use():
    step = Step(torch.tensor(torch.nan), {}, [])
    cures = {
        ("bf16", None): 'Lower train.lr, set train.clip or use train.precision = "fp32"; the last',
        ("fp32", None): "Lower train.lr or set train.clip; the last",
        ("fp32", 1.0): "Lower train.lr or lower train.clip; the last",
    }
    for (precision, clip), cure in cures.items():
        error = not_finite(step, 0, {}, Path("run"), {"precision": precision, "clip": clip})
        assert error.hint is not None
        assert error.hint.startswith(cure)


def test_dead_terms_and_their_reasons():
    said = verdict(
        {
            "constant": lambda logits: Term(0 * logits.sum() + 3),
            "detached": lambda logits: Term(F.mse_loss(logits.detach(), torch.zeros(3, 2))),
            "living": living_term,
            "zero": dead_term,
        },
        last=5,
    )
    tail = "(looked at in step 1). It has a weight but trains nothing."
    assert said == [
        f"The loss term task/constant gives no gradient at the logits {tail}",
        f"The loss term task/detached gives no gradient to anything {tail}",
        f"The loss term task/zero is exactly 0 and gives no gradient at the logits {tail}",
    ]


def test_a_term_that_goes_around_the_logits_is_no_alarm():
    """Features and the twin's own logits train, too."""
    other = torch.randn(3, 2, requires_grad=True)
    assert verdict({"term": lambda logits: Term(other.square().sum())}, last=1) == []
    assert len(verdict({"term": lambda logits: Term(0 * other.sum())}, last=1)) == 1


def test_the_steps_that_were_looked_at_are_named_after_a_resume():
    alarm = Alarm()
    for index in range(20, 50):
        logits = torch.randn(3, 2, requires_grad=True) * 1
        alarm.look(index, step_of(logits, term=dead_term(logits)))
    (sentence,) = alarm.verdict(49, 100)
    assert "(looked at in step 50)" in sentence


# --- twins ---------------------------------------------------------------------------------------------------


class Twins(SSL):
    """The mean of a trained twin and of the main network, against an averaged one."""

    def __init__(self, supervised, twin):
        super().__init__()
        self.supervised, self.other, self.teacher = supervised, twin(), twin(0.9)

    def terms(self, classify, labelled, unlabelled, now):
        mine, theirs = classify(labelled.image), self.other(labelled.image)
        distance = F.mse_loss((mine + theirs) / 2, self.teacher(labelled.image))
        return {**self.supervised(classify, labelled, mine), "distance": Term(distance)}


def with_twins(decay=0.9, task="classification", **changes):
    recipe = tiny("multimix", **changes)
    net = build.network(recipe, TARGETS)
    teacher = strategies.TwinNet(net, copy.deepcopy(net), task, decay)
    other = strategies.TwinNet(net, build.network(recipe, TARGETS, "twin-1"), task, None)
    return net, teacher.train(), other.train()


@pytest.mark.parametrize("decay", [0.7, 0.999])
def test_the_average_after_k_steps_is_the_closed_form(decay):
    net, teacher, _ = with_twins(decay)
    key, weights = "encoder.blocks.0.0.weight", []
    draw = torch.Generator().manual_seed(0)
    parameter = dict(net.named_parameters())[key]
    weights.append(parameter.detach().double().clone())
    for step in range(1, 9):
        with torch.no_grad():
            parameter += torch.randn(parameter.shape, generator=draw)
        weights.append(parameter.detach().double().clone())
        teacher.update(step)
    # While 1 − 1/(t+1) < decay it is the plain mean of all weights so far; then an exponential one.
    warm = [step for step in range(9) if 1 - 1 / (step + 1) < decay]
    expected = torch.stack([weights[step] for step in warm]).mean(0) * decay ** (9 - len(warm))
    for step in range(len(warm), 9):
        expected += (1 - decay) * decay ** (8 - step) * weights[step]
    found = dict(teacher.net.named_parameters())[key].double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_average_has_no_gradient_and_belongs_to_itself():
    net, teacher, _ = with_twins()
    x = torch.randn(2, 1, 32, 32)
    assert not teacher(x).requires_grad
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in net.parameters())
    before = {key: p.clone() for key, p in teacher.named_parameters()}
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1)
    assert all(torch.equal(p, before[key]) for key, p in teacher.named_parameters())
    assert {key.removeprefix("net.") for key in teacher.state_dict()} == set(net.state_dict())


def test_statistics_are_copied_and_move_in_no_pass_of_the_teacher():
    net = normed_net()
    teacher = strategies.TwinNet(net, copy.deepcopy(net), "classification", 0.9).train()
    trained = strategies.TwinNet(net, copy.deepcopy(net), "classification", None).train()
    x = torch.randn(4, 1, 8, 8)
    teacher(x)
    with torch.no_grad():
        trained(x)
    assert [remembered(twin.net)[1] for twin in (teacher, trained)] == [0, 0]
    trained(x)
    net.classify(x)
    teacher.update(1)
    assert remembered(trained.net)[1] == 1
    for own, theirs in zip(teacher.net.buffers(), net.buffers(), strict=True):
        assert torch.equal(own, theirs)
    assert remembered(teacher.net)[1] == 1


def test_the_trained_twin_starts_elsewhere_and_learns():
    net, _, other = with_twins()
    main = dict(net.named_parameters())
    assert not any(torch.equal(p, main[key]) for key, p in other.net.named_parameters())
    before = {key: p.clone() for key, p in other.net.named_parameters()}
    other.update(1)
    other(torch.randn(2, 1, 32, 32)).square().sum().backward()
    assert all(torch.equal(p, before[key]) for key, p in other.net.named_parameters())
    assert other.net.encoder.blocks[0][0].weight.grad.abs().max() > 0
    assert net.encoder.blocks[0][0].weight.grad is None


def test_the_bridge_of_a_twin_reads_the_main_class_branch():
    net, teacher, other = with_twins(task="segmentation")
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        expected = net.eval()(x).saliency
        for twin in (teacher.eval(), other.eval()):
            assert torch.equal(twin.net(x).saliency, expected)
            assert twin(x).shape == (2, 1, 32, 32)


def test_a_strategy_with_twins_trains_and_averages(monkeypatch):
    monkeypatch.setitem(catalog.BUILTINS["ssl"], "twins", f"{__name__}:Twins")
    objective, streams = make("enc")
    strategy = strategies.strategy(
        tiny("enc").with_values({"ssl": {"use": "twins"}}), "ssl", objective.net, TARGETS
    )
    objective.ssl = strategy.train()
    other, teacher = strategy.other, strategy.teacher
    optimizer = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], 1e-2)
    alarm = Alarm()
    for index in range(2):
        before = [p.clone() for p in teacher.parameters()]
        step = objective(streams.batch(StepContext(0, index, 2)))
        alarm.look(index, step)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        assert all(torch.equal(p, old) for p, old in zip(teacher.parameters(), before, strict=True))
        teacher.update(index + 1)
        assert not any(torch.equal(p, old) for p, old in zip(teacher.parameters(), before, strict=True))
    assert alarm.verdict(1, 2) == []
    assert other.net.encoder.blocks[0][0].weight.grad.abs().max() > 0
    assert {key.split(".")[0] for key in strategy.state_dict()} == {"other", "teacher"}
