"""TensorBoard in a real browser: the real command, Chromium without a window."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from browser import CHROMIUM, FLAGS

PATIENCE = 120_000  # milliseconds, for a busy machine


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "losslab", *arguments]


@contextmanager
def board_on(
    folder: Path, *arguments: str, runs: int, **env: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Start ``losslab board``; give its address and links once it has as many runs."""
    with subprocess.Popen(
        command("board", *arguments, "--port", "0"),
        cwd=folder, stdout=-1, stderr=-2, text=True, env=os.environ | env,
    ) as process:  # fmt: skip
        try:
            said = ""
            links: dict[str, str] = {}
            while "table" not in links:
                line = process.stdout.readline()
                assert line, f"it ended: {said}"
                said += line
                links = dict(re.findall(r"^(\w+) +(http.+)\n", said, re.MULTILINE))
            address = re.search(r"http://127\.0\.0\.1:\d+/", said)[0]
            deadline = time.monotonic() + PATIENCE / 1000
            while len(fetch(address, "data/runs")) < runs:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield address, links
        finally:
            process.terminate()


def fetch(address: str, route: str, **query: str):
    with urlopen(f"{address}{route}?{urlencode(query)}") as answer:
        return json.load(answer)


@contextmanager
def browser_page(profile: Path):
    """Give a page; no error of its scripts may have happened in the end."""
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=FLAGS,
            viewport={"width": 2000, "height": 1600},
        )
        browser.set_default_timeout(PATIENCE)
        page = browser.new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()
        assert errors == []


def go(page, link: str) -> None:
    page.goto("about:blank")  # so that the next one is not only another anchor
    page.goto(link)


def wait_for(page, count, expected) -> None:
    """Wait until ``count()`` is what is expected."""
    deadline = time.monotonic() + PATIENCE / 1000
    while (found := count()) != expected and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    assert found == expected


def open_categories(page) -> None:
    """Unfold what is folded away on a classic page."""
    for header in page.locator("tf-category-paginated-view button.heading").all():
        if header.get_attribute("open-button") is None:
            header.click()


def lines(card) -> int:
    """Return how many curves a classic card has, each of two points at least."""
    paths = card.locator("path.line").evaluate_all("all => all.map(p => p.getAttribute('d') || '')")
    return sum("L" in path for path in paths)


def no_error(page) -> None:
    assert page.locator(".error-content:visible").count() == 0
    assert page.get_by_text("Missing Tags").filter(visible=True).count() == 0
