"""The committed notebook follows from the committed results."""

import json
import re
from pathlib import Path

import pytest

from losslab.report.notebook import PAGE, notebook, write_notebook

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RESULTS = sorted(EXPERIMENTS.glob("*/results.json"))


def test_the_committed_page_is_current():
    assert (EXPERIMENTS / PAGE).read_text(encoding="utf-8") == notebook(EXPERIMENTS), (
        "run `losslab report experiments` and commit the page"
    )


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_every_committed_claim_is_on_the_page_with_its_verdict(path):
    claims = json.loads(path.read_text(encoding="utf-8"))["claims"]
    rows = (EXPERIMENTS / PAGE).read_text(encoding="utf-8").splitlines()
    assert claims
    for claim in claims:
        statement = claim["statement"].replace("|", "\\|")
        assert any(statement in row and f"| {claim['verdict']} " in row for row in rows), statement


@pytest.mark.parametrize("page", sorted(EXPERIMENTS.rglob("*.md")), ids=str)
def test_what_a_page_links_to_and_shows_is_there(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_a_number_says_what_it_is_and_a_missing_one_is_no_none(tmp_path):
    claim = {"source": "S4", "predicted": "at most 0"}
    measured = claim | {
        "statement": "One.", "verdict": "supported", "effect": "0.5", "n": 3, "what": "H, nats",
    }  # fmt: skip
    missing = claim | {
        "statement": "Two.", "verdict": "inconclusive", "effect": "missing", "n": None, "what": None
    }  # fmt: skip
    (tmp_path / "coin").mkdir()
    results = {"title": "T", "question": "Q?", "command": "c", "claims": [measured, missing]}
    (tmp_path / "coin" / "results.json").write_text(json.dumps(results))
    page = notebook(tmp_path)
    assert "| One. | S4 | supported | H, nats | at most 0 | 0.5 | 3 |" in page
    assert "| Two. | S4 | inconclusive |  | at most 0 | missing |  |" in page


def test_a_study_that_was_altered_changes_the_page(tmp_path):
    for path in RESULTS:
        (tmp_path / path.parent.name).mkdir()
        (tmp_path / path.parent.name / path.name).write_text(path.read_text())
    before = notebook(tmp_path)
    path = tmp_path / RESULTS[0].parent.name / "results.json"
    results = json.loads(path.read_text())
    results["claims"][0]["verdict"] = "contradicted"
    path.write_text(json.dumps(results))
    assert write_notebook(tmp_path).read_text() == notebook(tmp_path) != before
    path.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        notebook(tmp_path)
    with pytest.raises(ValueError, match="no results"):
        notebook(tmp_path / "nothing")
