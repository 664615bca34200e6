"""A claim's source is a citation: every code has its name beside it."""

import re
from pathlib import Path

import pytest
import yaml

from losslab.report.sources import citation

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STUDIES = sorted((Path(__file__).parents[2] / "conf" / "study").glob("*.yaml"))
BARE = re.compile(r"(\bS\d+|\bmechanisms? [A-G]|\b(condition|section) \d)\b(?!:)|§|\[")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hui & Belkin 2021", "Hui & Belkin 2021"),
        (
            "mechanisms A, D; Bosman 2020",
            "experiments/science.md, mechanism A: attenuation by softmax; mechanism D: relative "
            "strength of weight decay; Bosman 2020",
        ),
        ("S13, corrected", "experiments/science.md, statement S13: sign of the prior, corrected"),
        ("section 4.6", "experiments/science.md, condition 6: label noise"),
        ("[derived]; Bosman 2020", "experiments/science.md, derivation; Bosman 2020"),
        ("science §2", "experiments/science.md, section 2: formulas"),
    ],
)
def test_codes_are_named_once(source, expected):
    assert citation(source) == citation(citation(source)) == expected


@pytest.mark.parametrize("page", sorted(EXPERIMENTS.glob("*/report.md")), ids=str)
def test_no_generated_page_has_a_bare_code(page):
    bare = r"\bS\d+\b(?!:)|\bmechanisms? [A-G]\b(?!:)|\((?:[A-G], )*[A-G](?:\)|: )"
    assert re.findall(bare, page.read_text("utf-8")) == []


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_no_claim_has_a_bare_code(path):
    for claim in yaml.safe_load(path.read_text("utf-8"))["claims"]:
        assert not BARE.search(citation(claim["source"])), claim["source"]
