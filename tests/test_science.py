"""experiments/science.md: it defines every code that a study cites, and its formulas are right."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn.functional import one_hot

from losslab.losses import CrossEntropy, SquaredError

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "experiments" / "science.md").read_text("utf-8")
STUDIES = [*ROOT.glob("conf/study/*.yaml"), *ROOT.glob("experiments/*/study/*.yaml")]
CODES = {
    r"\bS(\d+)\b": r"\| S{} \|",
    r"[Mm]echanisms? ([A-Z])\b": r"\*\*{}: ",
    r"\bmechanisms [A-Z](?:, [A-Z])*, ([A-Z])\b": r"\*\*{}: ",
    r"[Ss]ection 4\.(\d)": r"(?m)^{}\. \*\*",
}


@pytest.mark.parametrize("path", [*STUDIES, *ROOT.glob("experiments/*/README.md")], ids=str)
def test_every_code_is_defined(path):
    text = path.read_text("utf-8")
    cited = [(form, code) for find, form in CODES.items() for code in re.findall(find, text)]
    assert [code for form, code in cited if not re.search(form.format(code), PAGE)] == []


def test_a_paper_is_set_against_every_claim_that_cites_it():
    """By its first authors and years, so that claims that failed are not left out."""
    papers = yaml.safe_load((ROOT / "experiments" / "literature.yaml").read_text("utf-8"))
    listed = {claim for paper in papers for claim in paper["claims"]}
    cited = r"([A-Z]\w+)[^;]*?\b((?:19|20)\d\d)\b(?!\.)"
    keys = [key for paper in papers for key in re.findall(cited, paper["paper"])]
    claims = {
        f"{path.parent.name}/{claim['id']}": claim["source"]
        for path in ROOT.glob("experiments/*/results.json")
        for claim in json.loads(path.read_text("utf-8"))["claims"]
    }
    absent = [
        name
        for name, source in claims.items()
        if any(re.search(rf"\b{author}\b[^;]*?\b{year}\b", source) for author, year in keys)
        and name not in listed
    ]
    assert len(keys) >= len(papers)
    assert absent == [], "add these claims to their papers in experiments/literature.yaml"


def gradient(loss, logits, labels):
    return torch.func.grad(lambda z: loss(z, labels))(logits)


@pytest.mark.parametrize("k", [2, 5, 10])
def test_its_gradients_are_those_of_the_losses(k):
    z = torch.randn(1, k, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
    label = torch.tensor([k - 1])
    y, p = one_hot(label, k).double(), z.softmax(1)
    r = p - y
    softmax = 2 * p * (r - (p * r).sum())
    expected = {
        CrossEntropy(): r,
        SquaredError("softmax", "sum"): softmax,
        SquaredError("softmax", "mean"): softmax / k,
        SquaredError("none", "mean"): 2 / k * (z - y),
    }
    for loss, formula in expected.items():
        torch.testing.assert_close(gradient(loss, z, label), formula)
    start = torch.zeros_like(z)  # C and E
    ratio = gradient(CrossEntropy(), start, label) / gradient(SquaredError(), start, label)
    torch.testing.assert_close(ratio, torch.full_like(z, k**2 / 2))
    # H: a target of M is a target of 1 with the outputs divided by M
    scaled = 15**2 * SquaredError("none")(z / 15, label)
    target = SquaredError("none", true_class_target=15.0)
    torch.testing.assert_close(target(z, label), scaled)
    assert gradient(target, start, label).norm().item() == pytest.approx(15 * 2 / k)
    guess = SquaredError("none")(torch.full_like(z, 1 / k), label)
    assert guess.item() == pytest.approx((1 - 1 / k) / k)


def test_where_squared_error_after_softmax_turns_concave():
    for m in (-3.0, -0.6931472, 0.5):
        lead = torch.tensor(m, dtype=torch.float64)
        curvature = torch.func.grad(torch.func.grad(lambda m: (1 - m.sigmoid()) ** 2))(lead).item()
        s = lead.sigmoid().item()
        assert curvature == pytest.approx(-2 * s * (1 - s) ** 2 * (1 - 3 * s), abs=1e-12)
        assert curvature * (s - 1 / 3) >= 0


def test_its_weight_decay_is_the_prior_it_says():
    assert pytest.approx(0.18, abs=0.005) == (5e-4 * 60_000) ** -0.5
