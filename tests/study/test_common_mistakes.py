"""The study ``common_mistakes``: known numbers, verdicts that turn, and the page itself."""

import doctest
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml
from common_mistakes.losses import BinaryCrossEntropy, SkippedSoftmax, SoftmaxTwice
from torch import nn

from common_mistakes import formulas, outputs, values
from conftest import Commands
from losslab.losses import CrossEntropy, SquaredError
from losslab.report.claims import verdict as judge
from losslab.report.measurement import Measurement, load_evidence
from losslab.report.plan import Claim

FOLDER = Path(__file__).parents[2] / "experiments" / "common_mistakes"
STUDY = yaml.safe_load((FOLDER / "study" / "common_mistakes.yaml").read_text("utf-8"))
CLAIMS = {claim["id"]: Claim(**claim) for claim in STUDY["claims"]}
PAGE = (FOLDER / "README.md").read_text("utf-8")


def arguments(measure: str) -> dict:
    node = STUDY["measures"][measure]
    return {key: value for key, value in node.items() if key not in ("_target_", "needs")}


def verdicts(measure: str, measured: Measurement) -> dict[str, str]:
    """Judge all claims about a measure."""
    return {
        claim.id: judge(claim.predicted, measured.quantities[name].interval, p_holm=0)
        for claim in CLAIMS.values()
        for of, _, name in [claim.quantity.partition(".")]
        if of == measure and name in measured.quantities
    }


# --- the losses ----------------------------------------------------------------------------------


def test_the_losses_are_those_that_people_have():
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    y = nn.functional.one_hot(labels, 4).float()
    twice = nn.CrossEntropyLoss()(nn.Softmax(dim=1)(z), labels)
    torch.testing.assert_close(SoftmaxTwice()(z, labels), twice)
    binary = 4 * nn.BCEWithLogitsLoss()(z, y)
    torch.testing.assert_close(BinaryCrossEntropy()(z, labels), binary)
    torch.testing.assert_close(BinaryCrossEntropy()(z, y), binary)
    sse = SkippedSoftmax(reduction="sum")(z, labels)
    torch.testing.assert_close(sse, (z.softmax(1) - y).square().sum())
    (slope,) = torch.autograd.grad(sse, z)
    torch.testing.assert_close(slope, (z.softmax(1) - y).detach())


# --- what is computed ----------------------------------------------------------------------------


def test_small_batches_undo_class_weights():
    """The formula against drawn batches."""
    draw = torch.Generator().manual_seed(0)
    rare = (torch.rand(20_000, 64, generator=draw) < 0.01).double().sum(1)
    share = (100 * rare / (100 * rare + 64 - rare)).mean().item()
    assert formulas.rare_share(0.01, 100.0, 64) == pytest.approx(share, abs=0.01)
    measured = formulas.class_weights({}, **arguments("weights"))
    assert set(verdicts("weights", measured).values()) == {"supported"}
    large = formulas.class_weights({}, **arguments("weights") | {"batch_size": 10_000})
    assert verdicts("weights", large)["weights-batch"] == "contradicted"


SMALL = {"count": 3, "start": 3.0, "seed": 1}
VALLEYS = ("convex-two-valleys", "convex-one-valley", "convex-turn", "convex-raw")


def test_cross_entropy_has_one_valley_and_squared_error_two(monkeypatch):
    monkeypatch.setattr(formulas, "descend", lambda loss, start: start)
    found = verdicts("convexity", formulas.convexity({}, **SMALL))
    assert {name: found[name] for name in VALLEYS} == dict.fromkeys(VALLEYS, "supported")
    monkeypatch.setattr(formulas, "CrossEntropy", lambda: SquaredError("softmax"))
    found = verdicts("convexity", formulas.convexity({}, **SMALL))
    assert found["convex-one-valley"] == "contradicted"


def test_descent_ends_in_the_valley_it_starts_above():
    ends = [formulas.descend(SquaredError("softmax"), start, steps=150) for start in (3.0, -1.0)]
    assert ends[0] > 1
    assert ends[1] < 0


def test_weight_decay_and_the_prior(monkeypatch):
    measure = arguments("prior")
    found = verdicts("prior", formulas.prior({}, **measure))
    assert found["prior-sgd"] == found["prior-adamw"] == found["prior-batch"] == "supported"
    right = formulas.GaussianPrior
    monkeypatch.setattr(formulas, "GaussianPrior", lambda std: right(2 * std))
    assert verdicts("prior", formulas.prior({}, **measure))["prior-sgd"] == "contradicted"


@pytest.mark.parametrize("k", [2, 10, 1000])
def test_the_floor_of_smoothed_labels_is_torchs(k):
    """No logits are lower than those of the smoothed target."""
    floor = values._floor(k, 0.1)
    best = torch.full((1, k), 0.1 / k, dtype=torch.float64)
    best[0, 0] += 0.9
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    assert loss(best.log(), torch.tensor([0])).item() == pytest.approx(floor, abs=1e-12)
    draw = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = best.log() + 0.3 * torch.randn(1, k, generator=draw, dtype=torch.float64)
        assert loss(other, torch.tensor([0])).item() > floor


def test_the_thread_took_decimal_logarithms():
    """Its formula, −(1 − α) log(1 − α) − α (log α − log(K − 1)), gives its 0.44 only so."""
    a, k = torch.tensor(0.1, dtype=torch.float64), torch.tensor(1000.0, dtype=torch.float64)
    nats = -(1 - a) * (1 - a).log() - a * (a.log() - (k - 1).log())
    assert round((nats / torch.log(torch.tensor(10.0))).item(), 2) == 0.44
    assert round(nats.item(), 3) == 1.016


def test_where_losses_start():
    """Each formula of the table against the loss itself."""
    log2 = torch.tensor(2.0).log().item()
    for k in (2, 10):
        logk = torch.tensor(float(k)).log().item()
        at = {
            "log K": logk,
            "(1 − 1/K)² log K": (1 - 1 / k) ** 2 * logk,
            "1/K": 1 / k,
            "(K − 1)/K²": (k - 1) / k**2,
            "1 − 1/K": 1 - 1 / k,
            "1/4": 0.25,
            "K log 2": k * log2,
            "2 (1 − 1/K)": 2 * (1 - 1 / k),
            "K − 1": k - 1,
        }
        found = {formula: values._at_zero(loss, k) for loss, formula in values.STARTS.values()}
        assert found == pytest.approx(at, abs=1e-6)


def test_labels_from_one():
    draw = torch.Generator().manual_seed(0)
    batches = torch.randint(1, 51, (20_000, 64), generator=draw)
    share = (batches != 50).all(dim=1).double().mean().item()
    assert formulas.silent(50, 64) == pytest.approx(share, abs=0.01)
    assert all(formulas._refuses(loss) for loss in formulas._of_labels())
    assert not formulas._refuses(nn.CrossEntropyLoss(ignore_index=10))  # torch skips it in silence


def test_binary_accuracy_counts_outputs():
    labels = torch.tensor([0, 1])
    wrong = torch.tensor([[0.1, 0.9, 0.0, 0.0], [0.4, 0.3, 0.2, 0.1]])  # sure, and unsure
    assert outputs.binary_accuracy(wrong, labels) == pytest.approx(1 - (2 + 1) / 8)


# --- the study as a whole ------------------------------------------------------------------------

TINY = (
    *("data.train_size=100", "data.val_size=50", "model=mlp", "model.width=8", "model.depth=1"),
    *("trainer.epochs=2", "trainer.log_every=1", "launcher=serial", "trainer.device=cpu"),
    *(f"study.runs.{name}.seeds=[0,1]" for name in STUDY["runs"]),
    *("study.measures.skipped.count=5", "study.measures.convexity.count=2"),
    *("study.measures.prior.steps=20", "study.measures.labels.seeds=[0,1]"),
    "study.measures.labels.epochs=1",
)
ON_ANY_RUNS = (
    *("sigmoid-gradient", "twice-floor", "twice-lowest", "twice-certainty", "sse-gradient"),
    *("sse-weights", "sse-vanishes", "binary-no", "start-chance", "smooth-floor"),
    *("smooth-thousand", "weights-thread", "weights-alone", "labels-silent", "labels-refused"),
)


@pytest.mark.slow
def test_every_claim_is_measured(losslab: Commands, monkeypatch):
    monkeypatch.setattr(formulas, "descend", lambda loss, start: start)
    result = losslab.call("study", "common_mistakes", *TINY)
    assert result.code == 0, result.err
    folder = losslab.folder / "outputs" / "common_mistakes"
    claims = {c["id"]: c for c in json.loads((folder / "results.json").read_text())["claims"]}
    assert [name for name, claim in claims.items() if claim["effect"] == "missing"] == []
    found = {name: claims[name]["verdict"] for name in ON_ANY_RUNS}
    assert found == dict.fromkeys(ON_ANY_RUNS, "supported")
    drawn = {d.name for m in load_evidence(folder).measurements.values() for d in m.drawings}
    assert len(drawn) == len(STUDY["measures"]) == 11  # one figure each
    assert {path.stem for path in (folder / "figures").glob("*.png")} >= drawn


def test_the_gradients_of_a_batch_are_those_of_its_examples():
    logits = torch.randn(3, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2])
    right = logits.softmax(1) - torch.eye(10, dtype=torch.float64)[labels]
    for loss in (CrossEntropy(), SkippedSoftmax()):
        torch.testing.assert_close(outputs.gradient(loss, logits, labels), right)
    through = outputs.gradient(SquaredError("softmax", "sum"), logits, labels)
    assert (through / 2 - right).abs().max() > 0.1


# --- the page ------------------------------------------------------------------------------------


def test_the_pages_python_prints_what_it_says():
    test = doctest.DocTestParser().get_doctest(PAGE, {}, "README.md", None, 0)
    assert len(test.examples) > 20
    said: list[str] = []
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, _ = doctest.DocTestRunner(optionflags=flags).run(test, out=said.append)
    assert failed == 0, "".join(said)


LINES = [
    line.removeprefix("losslab ")
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", LINES)
def test_the_pages_commands_are_right(losslab: Commands, line):
    result = losslab.call(*shlex.split(line), "--cfg", "job")
    assert (result.code, result.err) == (0, "")


def test_each_mistake_has_its_thread_figure_and_place_in_the_contents():
    parts = re.split(r"^## (?=\d)", PAGE, flags=re.MULTILINE)
    contents, sections = parts[0], parts[1:]
    assert len(sections) == 11
    for section in sections:
        heading = section.splitlines()[0]
        anchor = re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-")
        assert f"](#{anchor})" in contents, anchor
        assert len(re.findall(r"!\[[^]]+\]\(figures/[\w]+\.png\)", section)) == 1, heading
        assert re.search(r"\]\(https://|no thread found", section), heading
        assert re.search(r"```(sh|pycon)\n", section), heading
        assert "**The fix.**" in section, heading
