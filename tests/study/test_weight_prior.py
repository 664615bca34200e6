import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from safetensors.numpy import save_file
from weight_prior.sigma import sigma_sweep
from weight_prior.sign import sign
from weight_prior.sparsity import sparsity
from weight_prior.squared_error import gaussian_noise, squared_error
from weight_prior.weight_decay import float64_paths, trained_weights

from losslab.recording import Run
from losslab.report import claims
from losslab.report.measurement import load_evidence
from losslab.report.plan import Claim
from losslab.study.measure import value_of
from losslab.study.prior_as_written import PriorAsWritten
from weight_prior import weight_decay

FOLDER = Path(__file__).parents[2] / "experiments" / "weight_prior"
STUDY = yaml.safe_load((FOLDER / "study" / "weight_prior.yaml").read_text("utf-8"))
CLAIMS = {claim["id"]: Claim(**claim) for claim in STUDY["claims"]}
FLOAT64 = {"steps": 15, "seeds": [0, 1, 2]}
PAIRS = ["momentum_prior", "momentum_decay", "momentum_double", "mse_decay", "mse_prior"]
SIGNS = ["as_written", "corrected"]
RIGHT, WRONG = "[momentum_prior,momentum_decay]", "[momentum_prior,momentum_double]"


def verdict(claim_id: str, measurement) -> str:
    claim = CLAIMS[claim_id]
    found = measurement.quantities[claim.quantity.partition(".")[2]]
    return claims.verdict(claim.predicted, found.interval, p_holm=0)


@pytest.fixture
def point(tmp_path):
    """Make a run folder by hand."""

    def make(seed, *, values=None, config=None, summary=None, weights=None, norms=None, val=None):
        number = len(list(tmp_path.iterdir()))
        node = OmegaConf.create({})
        for key, value in ((config or {}) | (values or {})).items():
            OmegaConf.update(node, key, value)
        run = Run(group=f"{number}", seed=seed, root=tmp_path, composed=node)
        run.path.mkdir(parents=True)
        run.files.summary.write_text(json.dumps(summary or {}))
        if weights is not None:
            save_file({"w": np.asarray(weights, dtype=np.float32)}, run.files.model)
        if val is not None:
            logits, labels = val
            save_file({"val/logits": logits, "val/labels": labels}, run.files.predictions)
        records = [{"step": step, "optim/weight_norm": norm} for step, norm in norms or []]
        run.files.metrics.write_text("".join(f"{json.dumps(r)}\n" for r in records))
        run.set_status("done")
        return run

    return make


# By width: norm, training and test NLL, validation and test accuracy, ECE.
WIDTHS = {
    0.1: (0.0, 2.3, 2.3, 0.1, 0.1, 0.0),
    1.0: (2.0, 0.2, 0.5, 0.9, 0.8, 0.05),
    10.0: (5.0, 0.0, 0.9, 0.8, 0.7, 0.15),
}


@pytest.fixture
def sweep(point):
    def run(std, size, seed):
        norm, train_nll, test_nll, val, test, ece = WIDTHS[std]
        summary = {
            "optim/weight_norm": norm + 0.01 * seed,
            "train/nll": train_nll,
            "train/accuracy": 1.0,
            "val/nll": test_nll,
            "val/accuracy": val,
            "test/nll": test_nll,
            # With more data the prior gains less.
            "test/accuracy": test + 0.02 * seed * (std == 1.0) - 0.05 * (size == 500),
            "test/ece": ece,
        }
        if size == 500 and std == 1.0:
            summary["test/accuracy"] = 0.7
        values = {"loss.prior.std": std, "data.train_size": size}
        return point(seed, values=values, summary=summary)

    return [run(std, size, seed) for size in (100, 500) for std in WIDTHS for seed in (0, 1)]


def test_sweep_gives_known_numbers(sweep):
    measured = sigma_sweep({"sigma": sweep})
    values = {name: quantity.value for name, quantity in measured.quantities.items()}
    assert values == pytest.approx(
        {
            "weight_norm_rank": 1.0,
            "gap_rank": 1.0,
            "accuracy_gain": 0.11,  # 0.80 and 0.82, over 0.70
            "nll_gain": 0.4,  # 0.5 under 0.9
            "accuracy_gain_shrinks": 0.06,  # 0.11, and 0.70 over 0.65
            "ece_change": -0.1,
            "collapsed_accuracy": 0.1,
            "collapsed_ece": 0.0,
        }
    )
    claimed = {claim.quantity.partition(".") for claim in CLAIMS.values()}
    assert {name for measure, _, name in claimed if measure == "sigma"} == set(values)
    assert measured.quantities["accuracy_gain"].n == 2
    assert [d.name for d in measured.drawings] == ["sigma_fit", "sigma_test"]
    for panel in (panel for drawing in measured.drawings for panel in drawing.panels):
        assert [curve.label for curve in panel.curves] == ["N = 100", "N = 500"]
        assert panel.curves[0].x == [0.1, 1.0, 10.0]
    nll = measured.drawings[1].panels[1].curves[0]
    assert nll.y == pytest.approx([2.3, 0.5, 0.9])
    assert measured.tables[0].rows[0][:3] == ["100", "0.1", "1"]


def test_a_number_that_is_missing_makes_its_claim_inconclusive(sweep):
    one = sweep[2].files.summary  # N = 100, σ = 1
    summary = json.loads(one.read_text())
    del summary["test/nll"]
    one.write_text(json.dumps(summary))
    measured = sigma_sweep({"sigma": sweep})
    assert verdict("nll-interior", measured) == verdict("gap-falls", measured) == "inconclusive"
    assert verdict("norm-falls", measured) == "supported"


def test_sweep_needs_a_width_inside(sweep):
    with pytest.raises(ValueError, match=r"2 values of loss\.prior\.std"):
        sigma_sweep({"sigma": [p for p in sweep if value_of(p, "loss.prior.std") < 10]})


def test_final_weights_are_compared_seed_by_seed(point):
    decay = {"optimizer.weight_decay": 0.5, "data.train_size": 4}
    prior = {"loss.prior.std": 1.0, "data.train_size": 4}
    runs = {
        "a": [point(0, config=prior, weights=[3, 4]), point(1, config=prior, weights=[6, 8])],
        "b": [point(1, config=decay, weights=[6, 7]), point(0, config=decay, weights=[3, 4])],
    }
    measured = trained_weights(runs, compare={"sgd": ["a", "b"]})
    assert measured.quantities["sgd"].value == pytest.approx((1 / math.sqrt(85) + 0) / 2)
    assert measured.tables[0].rows[0][4] == "2"  # λσ²N: the runs were twice as much decayed
    with pytest.raises(ValueError, match="make no pairs"):
        trained_weights(runs | {"b": runs["b"][:1]}, compare={"sgd": ["a", "b"]})


def test_sparsity_is_compared_where_accuracy_is_level(point):
    def run(key, width, accuracy, weights, seed):
        values = {key: width, "data.train_size": 100}
        summary = {"val/accuracy": accuracy, "test/accuracy": accuracy}
        return point(seed, values=values, config=values, summary=summary, weights=weights)

    shrunk, sparse, gone = [1.0, 0.5, 0.1, 1e-4], [1.0, 0, 1e-5, -1e-6], [1e-9, 0, 0, 0]
    runs = {
        "sigma": [
            run("loss.prior.std", std, accuracy, weights, seed)
            for std, accuracy, weights in ((0.1, 0.2, gone), (1.0, 0.9, shrunk), (9.0, 0.91, [1.0]))
            for seed in (0, 1)
        ],
        "laplace": [
            run("loss.prior.scale", scale, accuracy, weights, seed)
            for scale, accuracy, weights in ((0.1, 0.5, gone), (0.7, 0.9, sparse))
            for seed in (0, 1)
        ],
    }
    measured = sparsity(runs, tolerance=0.02)
    assert measured.quantities["gaussian_share"].value == 0.25
    assert measured.quantities["share_difference"].value == 0.5
    assert verdict("laplace-sparse", measured) == "supported"
    sizes = measured.drawings[0].panels[2].curves
    assert [sum(curve.y) for curve in sizes] == pytest.approx([1.0, 1.0])
    assert sizes[1].y[0] == 0.25  # the exact zero


def test_sign_reads_growth_up_to_the_last_finite_norm(point):
    grown, shrunk = [(0, 1.0), (10, 1e3), (20, 1e5)], [(0, 1.0), (20, 0.1)]
    runs = {
        "as_written": [point(0, norms=grown), point(1, norms=grown[:2])],
        "corrected": [point(seed, norms=shrunk) for seed in (0, 1)],
    }
    for each in runs["as_written"]:
        each.set_status("diverged")
    measured = sign(runs)
    assert measured.quantities["as_written_growth"].value == pytest.approx(3.0)
    assert measured.quantities["corrected_growth"].value == pytest.approx(-1.0)
    assert {c: verdict(c, measured) for c in CLAIMS if c.startswith("sign-")} == dict.fromkeys(
        ("sign-diverges", "sign-corrected", "sign-grows", "sign-shrinks"), "supported"
    )
    with pytest.raises(ValueError, match="no step has a finite weight norm"):
        sign(runs | {"as_written": [point(0)]})


def test_squared_error_reads_its_noise_from_validation(point):
    # Scores that are off by 0.3 everywhere; K = 2, N = 100, λ = 0.25.
    logits = np.array([[1.3, 0.3], [-0.3, 0.7]], dtype=np.float32)
    val = (logits, np.array([0, 1]))
    decay = {"optimizer.weight_decay": 0.25, "data.train_size": 100}
    runs = {
        "mse_decay": [point(s, config=decay, weights=[1.0, 1.0], val=val) for s in (0, 1)],
        "mse_prior": [point(s, weights=[1.0, 1.0]) for s in (0, 1)],
        "momentum_decay": [point(s, config=decay) for s in (0, 1)],
    }
    measured = squared_error(runs)
    expected = {
        "agreement": 0.0,
        "noise": 0.3,
        "implied_std": math.sqrt(2 * 0.3**2 / (100 * 2 * 0.25)),
        "std_ratio": 0.3,  # τ√(2/K)
    }
    found = {name: quantity.value for name, quantity in measured.quantities.items()}
    assert found == pytest.approx(expected, rel=1e-6)
    other = decay | {"optimizer.weight_decay": 0.5}
    with pytest.raises(ValueError, match=r"optimizer\.weight_decay=\[0.25, 0.5\]"):
        squared_error(runs | {"momentum_decay": [point(0, config=other)]})


IN_FLOAT64 = [c.id for c in CLAIMS.values() if c.quantity.startswith("float64.")]
ARE_MAP = ["sgd-float64", "momentum-float64", "adam-float64"]
CASES = weight_decay._cases


def as_it_is(monkeypatch):
    pass


def flip_the_sign(monkeypatch):
    monkeypatch.setattr(weight_decay, "GaussianPrior", PriorAsWritten)


def double_the_weight_decay(monkeypatch):
    cases = {name: case._replace(decay=2 * case.decay) for name, case in CASES(0.5).items()}
    monkeypatch.setattr(weight_decay, "_cases", lambda std: cases)


@pytest.mark.parametrize(
    ("change", "expected", "claims"),
    [
        (as_it_is, "supported", IN_FLOAT64),
        (flip_the_sign, "contradicted", ARE_MAP),
        (double_the_weight_decay, "contradicted", ARE_MAP),
    ],
)
def test_prior_is_weight_decay_in_float64(monkeypatch, change, expected, claims):
    change(monkeypatch)
    measured = float64_paths({}, std=0.5, **FLOAT64)
    assert {claim: verdict(claim, measured) for claim in claims} == dict.fromkeys(claims, expected)


def test_bayes_rule_for_squared_error(monkeypatch):
    measure = partial(gaussian_noise, {}, weight_decay=0.1, noise=0.3, **FLOAT64)
    assert verdict("mse-formula", measure()) == "supported"
    assert verdict("mse-reused", measure()) == "supported"
    right = "weight_prior.squared_error.implied_std"
    monkeypatch.setattr(right, lambda *_, **__: 0.1)  # 0.122 would be right
    assert verdict("mse-formula", measure()) == "contradicted"


@pytest.mark.slow
def test_claims_hold_in_real_runs_and_not_in_wrong_ones(losslab):
    """A part of the study on blobs; one claim is handed the runs of twice the weight decay."""
    unused = [name for name in STUDY["runs"] if name not in (*PAIRS, *SIGNS)]
    result = losslab.call(
        *("study", "weight_prior", "data=synthetic", "data.source.num_train=600"),
        *("data.val_size=20", "model=mlp", "model.width=8", "model.depth=1"),
        *("trainer.device=cpu", "launcher=serial"),
        *(f"~study.runs.{name}" for name in unused),
        *(f"study.runs.{name}.seeds=[0,1]" for name in PAIRS),
        *(f"study.runs.{name}.seeds=[0]" for name in SIGNS),
        f"study.measures.trained.needs=[{','.join(PAIRS[:3])}]",
        *(f"study.measures.trained.compare.{name}={RIGHT}" for name in ("sgd", "adam")),
        *(f"study.measures.trained.compare.{name}={WRONG}" for name in ("momentum", "adamw")),
        *(f"study.measures.{name}.steps=2" for name in ("float64", "gaussian_noise")),
    )
    assert result.code == 0, result.err
    root = losslab.folder / "outputs" / "weight_prior"
    data = json.loads((root / "results.json").read_text())
    verdicts = {claim["id"]: claim["verdict"] for claim in data["claims"]}
    assert verdicts["sgd-is-map"] == verdicts["mse-is-map"] == "supported"
    assert verdicts["momentum-is-map"] == "contradicted"
    assert verdicts["sign-diverges"] == verdicts["sign-corrected"] == "supported"
    assert (root / "figures" / "sign.png").stat().st_size > 0
    measured = load_evidence(root).measurements
    assert set(STUDY["measures"]) - set(measured) == {"sigma", "sparsity"}  # without their runs
    for measure, _, quantity in (claim.quantity.partition(".") for claim in CLAIMS.values()):
        assert measure not in measured or quantity in measured[measure].quantities
