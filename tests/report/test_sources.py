"""A claim's source is a citation that a reader can find: every code has its name beside it."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STUDIES = [*ROOT.glob("conf/study/*.yaml"), *ROOT.glob("experiments/*/study/*.yaml")]
RESULTS = [*ROOT.glob("experiments/*/results.json")]
BARE = re.compile(r"\b(S\d+|mechanisms? [A-G]|(condition|section) \d)\b(?!:)|§|\[")


@pytest.mark.parametrize("path", sorted(STUDIES + RESULTS), ids=str)
def test_no_claim_has_a_bare_code(path):
    read = json.loads if path.suffix == ".json" else yaml.safe_load
    for claim in read(path.read_text("utf-8"))["claims"]:
        source = claim["source"]
        assert not BARE.search(source), source
        if re.search("statement|mechanism|condition|section", source):
            assert "experiments/science.md" in source


@pytest.mark.parametrize("page", sorted(ROOT.glob("experiments/*/report.md")), ids=str)
def test_no_generated_page_has_a_bare_code(page):
    bare = r"\bS\d+\b(?!:)|\bmechanisms? [A-G]\b(?!:)|\((?:[A-G], )*[A-G](?:\)|: )"
    assert re.findall(bare, page.read_text("utf-8")) == []
