"""Pages on the claims of all studies, made from their committed results."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from losslab.files import (
    YAML_LOADER,
    check_generated,
    one_line,
    read_json,
    read_text,
    read_yaml,
    write_atomically,
)
from losslab.parsing import Strict, parse
from losslab.report.claims import SIGNIFICANCE
from losslab.report.committed import CommittedClaim, parse_results
from losslab.report.document import Document, to_markdown
from losslab.report.study_report import EDGE, count
from losslab.text import Markdown, nearest

PAGE = "README.md"
ANSWER = "answer.md"  # opens the page
LITERATURE, PAPERS = "literature.md", "literature.yaml"
LARGEST_ANSWER = 100_000  # bytes


@dataclass(frozen=True, kw_only=True)
class Paper(Strict):
    """A paper's claim and the claims of studies here that test it."""

    paper: str  # its citation
    known: str  # how we know the claim: read, abstract read, second-hand, from memory
    says: str  # the claim
    claims: list[str]  # ``<study>/<claim>`` here
    scope: str  # of the test here
    why: str  # the verdicts may differ from the paper's


def write_claims_pages(folder: Path) -> list[Path]:
    """Write :func:`claims_page`, and :func:`literature_page` where there are papers."""
    pages = {PAGE: claims_page(folder)}
    if (folder / PAPERS).exists():
        pages[LITERATURE] = literature_page(folder)
    for name in pages:
        check_generated(folder / name, below=folder)
    for name, text in pages.items():
        write_atomically(folder / name, text)
    return [folder / name for name in pages]


def claims_page(folder: Path) -> str:
    """Return the page for a folder of studies; ``ValueError`` without readable results."""
    studies, claims = _read(folder)
    path = folder / ANSWER
    text = read_text(path, most=LARGEST_ANSWER) if path.exists() else ""
    # {study/claim} stands for the measured effect.
    answer = re.sub(
        r"\{([\w-]+/[\w-]+)\}", lambda match: _claim(match[1], claims, path).effect, text
    )
    content = {
        "answer": Markdown(answer.strip()),
        "studies": studies,
        "significance": SIGNIFICANCE,
        "discoveries": _discoveries(list(claims.values())),
        "edge": EDGE,
        "at_edge": any(claim.at_edge for claim in claims.values()),
    }
    return to_markdown(Document("claims_page", content))


def literature_page(folder: Path) -> str:
    """Return the page that sets the papers of ``literature.yaml`` against the verdicts here."""
    studies, claims = _read(folder)
    results = {study["name"]: study["results"] for study in studies}
    path = folder / PAPERS
    try:
        data = yaml.load(read_yaml(path), Loader=YAML_LOADER)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    papers = parse(list[Paper], data, str(path))
    rows = [
        (paper, [(name, _claim(name, claims, path)) for name in paper.claims]) for paper in papers
    ]
    return to_markdown(Document("literature", {"papers": rows, "results": results}))


def _read(folder: Path) -> tuple[list[dict[str, Any]], dict[str, CommittedClaim]]:
    """Return an entry for each study, and all claims by ``<study>/<claim>``."""
    studies: list[dict[str, Any]] = []
    claims: dict[str, CommittedClaim] = {}
    for path in sorted(folder.glob("*/results.json")):
        name = path.parent.name
        try:
            results = parse_results(read_json(path))
        except Exception as error:  # an altered file can raise anything
            message = f"{path} cannot be read ({one_line(error)})"
            command = f"`losslab report outputs/{name} --to {path.parent}`"
            raise ValueError(f"{message}; write it again with {command}") from error
        # A study without a README links to its report.
        pages = (page for page in (PAGE, "report.md") if (path.parent / page).exists())
        link = f"{quote(name)}/{next(pages, path.name)}"
        verdicts = count([claim.verdict for claim in results.claims])
        studies.append({"name": name, "link": link, "results": results, "count": verdicts})
        claims |= {f"{name}/{claim.id}": claim for claim in results.claims}
    if not studies:
        advice = f"write some with `losslab report outputs/NAME --to {folder}/NAME`"
        raise ValueError(f"{folder} holds no results; {advice}")
    return studies, claims


def _discoveries(claims: Sequence[CommittedClaim]) -> dict[str, int]:
    """Count tested claims, those supported, and those of them that remain over all studies.

    That is with Benjamini and Hochberg's procedure. A claim of equality needs no test.
    """
    from scipy.stats import false_discovery_control

    tested = [claim for claim in claims if claim.p is not None and claim.direction != "equal"]
    both = zip(tested, false_discovery_control([claim.p for claim in tested]), strict=True)
    supported = [q for claim, q in both if claim.verdict == "supported"]
    remain = sum(q < SIGNIFICANCE for q in supported)
    return {"tested": len(tested), "supported": len(supported), "remain": remain}


def _claim(name: str, claims: dict[str, CommittedClaim], path: Path) -> CommittedClaim:
    if name not in claims:
        raise ValueError(f"{path} names the claim {name!r}{nearest(name, claims)}; no study has it")
    return claims[name]
