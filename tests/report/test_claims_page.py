"""The committed page of claims follows from the committed results."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from losslab.files import GENERATED
from losslab.report.claims_page import PAGE, claims_page, write_claims_page

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
SOURCE = "experiments/science.md, statement S4: entropy is greatest for equal probabilities"
RESULTS = sorted(EXPERIMENTS.glob("*/results.json"))


def test_the_committed_page_is_current():
    assert (EXPERIMENTS / PAGE).read_text(encoding="utf-8") == claims_page(EXPERIMENTS), (
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


PAGES = [*EXPERIMENTS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob(".github/*.md")]


def dead_links(page):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = (unquote(target) for target in targets if not target.startswith(("http", "mailto")))
    return [target for target in local if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_and_shows_is_there(page):
    assert dead_links(page) == []


def test_a_generated_page_links_only_to_what_is_there(tmp_path):
    pages = {"written": "README.md", "reported": "report.md", "bare one": None}
    for name, page in pages.items():
        (tmp_path / name).mkdir()
        results = {"title": name, "question": "Q?", "command": "c", "claims": [], "steps": []}
        if name == "written":
            results["steps"] = [{"label": "no figure was drawn"}]
        (tmp_path / name / "results.json").write_text(json.dumps(results))
        if page:
            (tmp_path / name / page).write_text("# T")
    page = write_claims_page(tmp_path)
    assert dead_links(page) == []
    text = page.read_text()
    assert all(link in text for link in ("(written/README.md)", "(reported/report.md)"))
    assert "(bare%20one/results.json)" in text


def test_a_number_says_what_it_is_and_a_missing_one_is_no_none(tmp_path):
    claim = {"source": SOURCE, "predicted": "at most 0"}
    measured = claim | {
        "statement": "One.", "verdict": "supported", "effect": "0.5", "n": 3, "what": "H, nats",
    }  # fmt: skip
    missing = claim | {
        "statement": "Two.", "verdict": "inconclusive", "effect": "missing", "n": None, "what": None
    }  # fmt: skip
    (tmp_path / "coin").mkdir()
    results = {"title": "T", "question": "Q?", "command": "c", "claims": [measured, missing]}
    (tmp_path / "coin" / "results.json").write_text(json.dumps(results))
    page = claims_page(tmp_path)
    assert f"| One. | {SOURCE} | supported | H, nats | at most 0 | 0.5 | 3 |" in page
    assert f"| Two. | {SOURCE} | inconclusive |  | at most 0 | missing |  |" in page


def test_a_study_that_was_altered_changes_the_page(tmp_path):
    for path in RESULTS:
        (tmp_path / path.parent.name).mkdir()
        (tmp_path / path.parent.name / path.name).write_text(path.read_text())
    before = claims_page(tmp_path)
    path = tmp_path / RESULTS[0].parent.name / "results.json"
    results = json.loads(path.read_text())
    other = {"contradicted": "supported"}.get(results["claims"][0]["verdict"], "contradicted")
    results["claims"][0]["verdict"] = other
    path.write_text(json.dumps(results))
    assert write_claims_page(tmp_path).read_text() == claims_page(tmp_path) != before
    path.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        claims_page(tmp_path)
    with pytest.raises(ValueError, match="no results"):
        claims_page(tmp_path / "nothing")


def test_the_page_begins_with_the_waterfall_and_ends_with_what_is_unexplained(tmp_path):
    level = {"n": 15, "mean": 0.9, "interval": [0.88, 0.92], "covers": "seeds"}
    change = {"difference": 0.05, "interval": [0.03, 0.07]}
    steps = [
        {"label": "as typed", "level": level},
        {"label": "rate tuned", "level": level | {"mean": 0.95}, "change": change},
        {"label": "not run yet"},
    ]
    results = {"title": "T", "question": "Q?", "command": "c", "claims": [], "steps": steps}
    (tmp_path / "mechanisms").mkdir()
    (tmp_path / "mechanisms" / "results.json").write_text(json.dumps(results))
    (tmp_path / "mechanisms" / "figures").mkdir()
    (tmp_path / "mechanisms" / "figures" / "waterfall.png").write_bytes(b"")
    (tmp_path / "mechanisms" / "README.md").write_text(
        "# T\n\n## In short\n\nScale first.\n\n"
        "## What stays unexplained\n\nOne point.\n\n## More\n\nNo.\n"
    )
    page = claims_page(tmp_path)
    assert page.index("Scale first.") < page.index("waterfall.png") < page.index("## Every claim")
    assert "| as typed | 90.0 % [88.0, 92.0] |  | 15 |" in page
    assert "| rate tuned | 95.0 % [88.0, 92.0] | +5.0 pp [+3.0, +7.0] | 15 |" in page
    assert "| not run yet | – |  | – |" in page
    assert page.endswith(f"## What stays unexplained\n\nOne point.\n\n{GENERATED}\n")
