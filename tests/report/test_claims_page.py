"""The committed page of claims follows from the committed results."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from losslab.report.claims_page import (
    LITERATURE,
    PAGE,
    claims_page,
    literature_page,
    write_claims_pages,
)

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


def test_every_study_has_a_page_that_a_person_wrote():
    assert [path.parent.name for path in RESULTS if not (path.parent / "README.md").exists()] == []


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
        results = {
            "study": "coin",
            "title": name,
            "question": "Q?",
            "command": "losslab study coin",
            "claims": [],
        }
        (tmp_path / name / "results.json").write_text(json.dumps(results))
        if page:
            (tmp_path / name / page).write_text("# T")
    (page,) = write_claims_pages(tmp_path)
    assert dead_links(page) == []
    text = page.read_text()
    assert all(link in text for link in ("(written/README.md)", "(reported/report.md)"))
    assert "(bare%20one/results.json)" in text


def test_a_number_says_what_it_is_and_a_missing_one_is_no_none(tmp_path):
    claim = {"source": SOURCE, "predicted": "at most 0"}
    measured = claim | {
        "id": "one", "statement": "One.", "verdict": "supported", "effect": "0.5", "n": 3,
        "what": "H, nats",
    }  # fmt: skip
    missing = claim | {
        "id": "two", "statement": "Two.", "verdict": "inconclusive", "effect": "missing"
    }  # fmt: skip
    level = {
        "id": "three", "statement": "Three.", "source": SOURCE, "verdict": "inconclusive",
        "reason": "p ≥ 0.05", "metric": "test/accuracy", "direction": "equal",
        "smallest_effect": 0.005, "effect": "−0.1 pp [−0.3, +0.1]", "n": 10, "at_edge": ["mse"],
    }  # fmt: skip
    (tmp_path / "coin").mkdir()
    results = {
        "study": "coin",
        "title": "T",
        "question": "Q?",
        "command": "losslab study coin",
        "claims": [measured, missing, level],
    }
    (tmp_path / "coin" / "results.json").write_text(json.dumps(results))
    page = claims_page(tmp_path)
    assert f"| One. | {SOURCE} | supported | H, nats | at most 0 | 0.5 | 3 |" in page
    assert f"| Two. | {SOURCE} | inconclusive |  | at most 0 | missing |  |" in page
    row = f"| Three. | {SOURCE} | inconclusive (p ≥ 0.05) § |  | within ±0.5 pp | −0.1 pp"
    assert row in page
    assert "§ A best value" in page


def test_supported_claims_are_counted_that_remain_over_all_studies(tmp_path):
    claim = {"source": SOURCE, "statement": "", "effect": "", "n": 9, "predicted": "at least 0"}
    ps = {"strong": 0.0001, "weak": 0.04, **{f"other{i}": 0.5 for i in range(8)}}
    verdicts = {"strong": "supported", "weak": "supported"}
    claims = [
        claim | {"id": name, "p": p, "verdict": verdicts.get(name, "inconclusive")}
        for name, p in ps.items()
    ]
    (tmp_path / "coin").mkdir()
    results = {"study": "coin", "command": "losslab study coin", "claims": claims}
    (tmp_path / "coin" / "results.json").write_text(json.dumps(results))
    # Of ten tests the second smallest p has to be below 2/10 of 0.05.
    assert "all 10 tested claims of all studies together, 1 of the 2 " in claims_page(tmp_path)


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
    (page,) = write_claims_pages(tmp_path)
    assert page.read_text() == claims_page(tmp_path) != before
    path.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        claims_page(tmp_path)
    with pytest.raises(ValueError, match="no results"):
        claims_page(tmp_path / "nothing")


def notebook(folder, **files):
    """Write a folder of one study with one claim, and files beside it."""
    claim = {
        "id": "level", "statement": "They are level.", "source": SOURCE, "verdict": "supported",
        "effect": "−0.1 pp [−0.3, +0.1]", "n": 10,
    }  # fmt: skip
    results = {
        "study": "coin",
        "title": "T",
        "question": "Q?",
        "command": "losslab study coin",
        "claims": [claim],
    }
    (folder / "coin").mkdir()
    (folder / "coin" / "results.json").write_text(json.dumps(results))
    (folder / "coin" / "README.md").write_text("# T")
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


PAPER = """
- {paper: Author 2020, known: read, says: No., claims: [%s], scope: coins, why: dice}
- {paper: Nobody 2021, known: from memory, says: Yes., claims: [], scope: none, why: open}
"""


def test_the_answer_comes_first_with_the_numbers_of_its_claims(tmp_path):
    page = claims_page(notebook(tmp_path, answer_md="Level: {coin/level}, {not one}.\n"))
    assert page.startswith(
        "# The lab notebook\n\nLevel: −0.1 pp [−0.3, +0.1], {not one}.\n\n## Every"
    )


def test_papers_stand_beside_the_verdicts_on_their_claims(tmp_path):
    _, page = write_claims_pages(notebook(tmp_path, literature_yaml=PAPER % "coin/level"))
    text = page.read_text("utf-8")
    assert "## Author 2020" in text
    assert "- **supported**: They are level. −0.1 pp [−0.3, +0.1], n = 10 ([coin]" in text
    assert "- Not tested here yet." in text
    assert dead_links(page) == []


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"answer_md": "{coin/levl}"}, r"answer.md names the claim 'coin/levl' \(did you mean"),
        ({"literature_yaml": PAPER % "coin/x"}, "literature.yaml names the claim 'coin/x'"),
        ({"literature_yaml": "- {paper: A}"}, "literature.yaml.0.known is missing"),
        ({"literature_yaml": "a: ["}, "literature.yaml"),
    ],
)
def test_what_no_study_claims_is_refused_and_nothing_written(tmp_path, files, says):
    with pytest.raises(ValueError, match=says):
        write_claims_pages(notebook(tmp_path, **files))
    assert not (tmp_path / PAGE).exists()


def test_the_committed_literature_is_current():
    assert (EXPERIMENTS / LITERATURE).read_text("utf-8") == literature_page(EXPERIMENTS), (
        "run `losslab report experiments` and commit the page"
    )
