"""The study ``identities``: known numbers, and verdicts that turn when something is broken."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
import yaml

from conftest import Commands
from identities import (
    code_length,
    convexity,
    further_reading,
    logarithms,
    objectives,
    optimum,
    prior,
)
from losslab.losses import GaussianPrior, functional, information
from losslab.recording import Run
from losslab.report.claims import verdict as judge
from losslab.report.measurement import Measurement, Quantity, load_evidence
from losslab.report.plan import Claim

FOLDER = Path(__file__).parents[2] / "experiments" / "identities"
STUDY = yaml.safe_load((FOLDER / "study" / "identities.yaml").read_text("utf-8"))
CLAIMS = {claim["id"]: Claim(**claim) for claim in STUDY["claims"]}


def judge_quantity(claim, quantity):
    return judge(claim.predicted, quantity.interval, p_holm=0)


# the measure and its arguments in place of the study's; quantity, the number, how far it may be off
KNOWN = [
    ("target", {"num_classes": [3], "targets": 2, "seed": 1}, "distance_soft", 0, 1e-6),
    ("target", {"num_classes": [2], "targets": 1, "seed": 1}, "height", 0, 1e-9),
    ("entropy", {"num_classes": [3], "starts": 2, "seed": 1}, "deviation", 0, 1e-6),
    ("entropy", {"num_classes": [2], "starts": 1, "seed": 1}, "coin", 0.5, 1e-6),
    ("entropy", {"num_classes": [2], "starts": 1, "seed": 1}, "certain", 0, 0),
    ("random_pairs", {"num_classes": [4], "count": 9, "seed": 1}, "residual", 0, 1e-13),
    ("naive_softmax", {"largest_gap": 120}, "naive_single", 89, 0),  # e^88.7
    ("naive_softmax", {"largest_gap": 120}, "log_of_softmax_single", 104, 0),
    ("naive_softmax", {"largest_gap": 120}, "safe_failures", 0, 0),
    # H(¾, ¼) less the other way round, the coins being ¼, ½, ¾
    (
        *("counterexamples", {"step": 0.25}, "cross_entropy_asymmetry"),
        *(-math.log(math.sqrt(3) / 4) - math.log(2), 1e-12),
    ),
    # KL(¼‖¾) − 2 KL between neighbours
    (
        *("counterexamples", {"step": 0.25}, "kl_divergence_detour"),
        0.5 * math.log(3) - (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) - math.log(4 / 3) / 2,
        1e-12,
    ),
    ("sign_of_a_logarithm", {"count": 20, "seed": 1}, "posterior", 0, 1e-12),
    ("direction", {"distance": 3.0}, "forward_std", math.sqrt(9.25), 1e-4),
    ("direction", {"distance": 3.0}, "reverse_std", 0.5, 1e-3),
]
MODULES = (code_length, convexity, further_reading, logarithms, objectives, optimum, prior)


def run_measure(name: str, **others) -> Measurement:
    """Run one of the study's measures that need no runs, by its own arguments but for some."""
    node = STUDY["measures"][name] | others
    path, _, function = node.pop("_target_").rpartition(".")
    (module,) = (module for module in MODULES if module.__name__ == path)
    return getattr(module, function)({}, **node)


@pytest.mark.parametrize(("measure", "arguments", "quantity", "number", "off"), KNOWN)
def test_known_number(measure, arguments, quantity, number, off):
    found = run_measure(measure, **arguments).quantities[quantity].value
    assert found == pytest.approx(number, rel=0, abs=off)


def test_two_classes_have_the_eigenvalues_of_their_formulas():
    logits = torch.tensor([[-3.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0])
    p = logits.softmax(1)[:, 0]
    # (1 − p)² + (0 − (1 − p))² = 2 (1 − p)²; its second derivative in the margin is that in either
    # logit, and the Hessian is it times [[1, −1], [−1, 1]].
    second = -4 * p * (1 - p) ** 2 * (1 - 3 * p) + 0 * p
    expected = torch.minimum(2 * second, torch.zeros(2))
    found = convexity.smallest_eigenvalues(convexity.LOSSES["brier"], logits, labels)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    flat = convexity.smallest_eigenvalues(convexity.LOSSES["cross_entropy"], logits, labels)
    assert flat.abs().max() < 1e-15


def test_arithmetic_code_is_read_back_and_as_long_as_shannon_says():
    draw = torch.Generator().manual_seed(3)
    probabilities = torch.rand(400, 5, generator=draw, dtype=torch.float64).square()
    probabilities /= probabilities.sum(1, keepdim=True)
    tables = [code_length.table(row) for row in probabilities]
    message = torch.multinomial(probabilities, 1, generator=draw).squeeze(1)
    code = code_length.encode(message.tolist(), tables)
    assert code_length.decode(code, tables) == message.tolist()
    ideal = -probabilities[torch.arange(400), message].log2().sum().item()
    assert ideal - 0.1 < len(code) < ideal + 2.1


def test_excess_code_length_is_the_divergence_by_count():
    # Two predicted classes, labels ¾ : ¼ in both; the network says ½ : ½ to everything.
    labels = torch.tensor([0, 0, 0, 1] * 50 + [1, 1, 1, 0] * 50)
    logits = torch.tensor([[1e-9, 0.0]] * 200 + [[0.0, 1e-9]] * 200, dtype=torch.float64)
    found = code_length.measure_excess(logits, labels)
    divergence = 1 - (2 - 0.75 * math.log2(3))  # log2 of two labels, less the entropy in bits
    assert found.divergence == pytest.approx(divergence, abs=1e-6)
    assert found.ideal == pytest.approx(divergence, abs=1e-6)
    assert found.written == pytest.approx(divergence, abs=0.01)


def test_product_of_tenths_is_zero_when_floats_end():
    tenths = torch.full((400,), math.log(0.1), dtype=torch.float64)
    assert logarithms.first_zero(tenths, torch.float32) == 46  # 1e-45 is the last above zero
    assert logarithms.first_zero(tenths, torch.float64) == 324
    assert logarithms.first_zero(tenths[:40], torch.float32) == math.inf


def test_gradient_descent_reaches_the_least_squares_solution():
    features = torch.eye(3, dtype=torch.float64)
    goal = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    weights, values = objectives.gradient_descent(
        lambda z: (z - goal).square().sum(), features, num_classes=2, steps=60, rate=0.25
    )
    torch.testing.assert_close(weights, goal)
    assert values[0] == goal.square().sum()


# --- verdicts turn -------------------------------------------------------------------------------


def verdict(claim: str, measured: Measurement) -> str:
    quantity = CLAIMS[claim].quantity.partition(".")[2]
    return judge_quantity(CLAIMS[claim], measured.quantities[quantity])


def test_an_infinite_divergence_is_no_code_length(monkeypatch):
    right = information.kl_divergence
    swapped = lambda p, q, unit: right(q, p, unit=unit)  # noqa: E731
    monkeypatch.setattr(information, "kl_divergence", swapped)
    # Class 1 never occurs, and is predicted.
    logits = torch.tensor([[0.5, 0.0]] * 4, dtype=torch.float64)
    found = code_length.measure_excess(logits, torch.zeros(4, dtype=torch.int64))
    off = abs(found.written - found.divergence)
    quantity = Quantity(value=off, n=1, what="")
    assert judge_quantity(CLAIMS["s5-code-length"], quantity) == "contradicted"


def naive(logits, target, *, label_smoothing=0.0):
    return -logits.softmax(1).gather(1, target.unsqueeze(1)).squeeze(1).log()


RIGHT_DIVERGENCE, RIGHT_PRIOR = information.kl_divergence, GaussianPrior.__call__
BRIER = convexity.LOSSES["brier"]
# what is broken, with what in its place; the measure, and the claims that are then contradicted
BROKEN = [
    (information, "kl_divergence", lambda p, q: 1.001 * RIGHT_DIVERGENCE(p, q),
     "random_pairs", ["s3-random-pairs"]),
    # A distance has no counter-examples.
    (information, "cross_entropy", lambda p, q: (p - q).square().sum(-1).sqrt(),
     "counterexamples", ["s12-asymmetric", "s12-triangle"]),
    (GaussianPrior, "__call__", lambda self, weights: -RIGHT_PRIOR(self, weights),
     "sign_of_a_logarithm", ["s13-library"]),
    (functional, "cross_entropy", naive, "naive_softmax", ["s9-safe"]),
    # A concave measure is above its chord.
    (information, "cross_entropy", lambda p, q: torch.xlogy(p, q).sum(-1),
     "in_probabilities", ["s12-convex-probabilities"]),
]  # fmt: skip


@pytest.mark.parametrize(("where", "name", "wrong", "measure", "claims"), BROKEN)
def test_what_is_broken_contradicts_its_claims(monkeypatch, where, name, wrong, measure, claims):
    for part, expected in ((getattr(where, name), "supported"), (wrong, "contradicted")):
        monkeypatch.setattr(where, name, part)
        measured = run_measure(measure)
        assert {claim: verdict(claim, measured) for claim in claims} == dict.fromkeys(
            claims, expected
        )


def test_squared_error_in_the_place_of_cross_entropy_is_not_convex(monkeypatch):
    for expected in (("supported", "contradicted"), ("contradicted", "supported")):
        measured = run_measure("random_logits")
        found = verdict("s12-convex-random", measured), verdict("s12-not-convex", measured)
        assert found == expected
        monkeypatch.setitem(convexity.LOSSES, "cross_entropy", BRIER)


def test_what_never_fails_contradicts_the_claim_that_it_does():
    measured = run_measure("naive_softmax", largest_gap=10)
    assert verdict("s9-naive", measured) == verdict("s9-naive-softmax", measured) == "contradicted"


# --- the study as a whole ------------------------------------------------------------------------


def test_every_row_of_the_document_has_a_claim():
    rows = {re.search(r"statement (S\d+)", claim.source)[1] for claim in CLAIMS.values()}
    assert rows == {f"S{row}" for row in range(2, 15)}
    assert len(CLAIMS) == len(STUDY["claims"])


SIGNS = ("right_sign", "sign_as_written")
TINY = (
    *("data=synthetic", "launcher=serial", "trainer.device=cpu", "trainer.batch_size=32"),
    *("trainer.epochs=1", "trainer.log_every=4"),
    *(
        f"study.runs.{name}.seeds=[0,1]"
        for name, node in STUDY["runs"].items()
        if len(node["seeds"]) > 2
    ),
    *(f"study.runs.stages_{loss}.grid={{trainer.steps:[1,4]}}" for loss in convexity.LOSSES),
    *(f"study.runs.linear_{side}.grid={{optimizer.lr:[0.01]}}" for side in ("softmax", "hinge")),
    # The narrow prior of few examples: twice as strong a step as the study's, so fewer of them.
    *(f"+study.runs.{name}.grid={{trainer.steps:[300]}}" for name in SIGNS),
    "study.measures.descent_by_hand.steps=20",
    "study.measures.along_training.examples=50",
    "study.measures.naive_softmax.largest_gap=200",
    *("study.measures.target.num_classes=[2]", "study.measures.target.targets=1"),
    *("study.measures.entropy.num_classes=[2]", "study.measures.entropy.starts=1"),
    "study.measures.sign_of_a_logarithm.count=10",
)


@pytest.mark.slow
def test_every_claim_is_measured(losslab: Commands):
    result = losslab.call("study", "identities", *TINY)
    assert result.code == 0, result.err
    folder = losslab.folder / "outputs" / "identities"
    claims = {c["id"]: c for c in json.loads((folder / "results.json").read_text())["claims"]}
    assert [name for name, claim in claims.items() if claim["effect"] == "missing"] == []
    same_on_any_data = (
        "s3-while-training",
        "s6-weights",
        "s6-other-loss",
        "s6-soft-weights",
        "s6-value",
        "s7-measures",
        "s7-losses",
        "s9-shift",
        "s10-weights",
        "s10-likelihood",
        "s12-convex-training",
        "s12-weights-linear",
    )
    assert {n: claims[n]["verdict"] for n in same_on_any_data} == dict.fromkeys(
        same_on_any_data, "supported"
    )
    assert (folder / "figures" / "coin.png").exists()
    # Runs of another loss in the place of those with the divergence turn the verdict.
    other = load_evidence(folder).measurements["trajectories"].quantities["smoothed"]
    assert judge_quantity(CLAIMS["s6-weights"], other) == "contradicted"
    # So do runs with the sign of the prior as the document has it in the place of the right one.
    sets = {name: points_of(folder, name) for name in SIGNS}
    swapped = prior.sign_while_training(
        {"right_sign": sets["sign_as_written"], "sign_as_written": sets["right_sign"]}
    )
    for claim in ("s13-settles", "s13-grows", "s13-diverges"):
        assert verdict(claim, prior.sign_while_training(sets)) == "supported"
        assert verdict(claim, swapped) == "contradicted"


def points_of(folder: Path, name: str) -> list[Run]:
    """Return what a measure reads of the runs of one of the two sets with a sign."""
    as_written = name == "sign_as_written"
    return [
        Run.at(path)
        for path in sorted(folder.glob("map_gaussian-synthetic-linear-constant-*/seed=*"))
        if ("prior=PriorAsWritten" in path.parent.name) == as_written
    ]
