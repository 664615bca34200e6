"""The links of ``losslab board`` show curves of a study of 200 runs, and of one of 1,000."""

import io
import os
import re
import shutil
import subprocess
import time

import numpy as np
import pytest
from matplotlib.image import imread

from browser import needs_chromium
from browsing import (
    board_on,
    browser_page,
    command,
    go,
    lines,
    no_error,
    open_categories,
    wait_for,
)
from losslab.tensorboard import PALETTE
from running import TINY

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = [pytest.mark.slow, needs_chromium]
LOSSES = ("cross_entropy", "mse", "mse_softmax")
RATES = (0.05, 0.3)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A finished sweep with the usual diagnostics: three losses, two rates, two seeds."""
    folder = tmp_path_factory.mktemp("few")
    rates = ",".join(map(str, RATES))
    grid = (f"loss={','.join(LOSSES)}", f"optimizer.lr={rates}", "seed=0,1", "name=tiny")
    train = command("train", "-m", *TINY, *grid)
    subprocess.run(train, cwd=folder, capture_output=True, check=True)
    return folder


@pytest.fixture(scope="module", params=[200, 1000])
def links(few, tmp_path_factory, request):
    """The links of the board on so many runs, most of them copies with other seeds."""
    folder = tmp_path_factory.mktemp("many")
    first = sorted((few / "outputs" / "tiny").glob("*/seed=*"))
    for number in range(request.param):
        run = first[number % len(first)]
        to = folder / "tiny" / run.parent.name / f"seed={number}"
        shutil.copytree(run, to, copy_function=os.link)
    with board_on(folder, "tiny", runs=request.param + len(LOSSES)) as (_, links):
        yield links


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


def drawn_colors(chart) -> set[str]:
    """Return those of Time Series' colours in which a chart has lines."""
    pixels = (imread(io.BytesIO(chart.screenshot()))[..., :3] * 255).round()
    found = set()
    for color in PALETTE:
        rgb = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
        if (np.abs(pixels - rgb).max(axis=-1) < 6).sum() > 100:
            found.add(color)
    return found


def test_the_answer_is_four_charts_with_a_curve_a_loss(page, links):
    start = time.monotonic()
    go(page, links["answer"])
    if "timeseries" in links["answer"]:
        charts = page.locator("metrics-pinned-view line-chart")
        charts.first.wait_for()
        wait_for(page, lambda: len(drawn_colors(charts.first)) > 1, True)
        print(f"first data after {time.monotonic() - start:.1f} s")
        wait_for(page, lambda: [len(drawn_colors(chart)) > 0 for chart in charts.all()], [True] * 4)
        # Where curves lie on one another, one is seen.
        colors = set().union(*map(drawn_colors, charts.all()))
        assert PALETTE[0] in colors  # nearest to black: cross-entropy
        assert len(colors) == len(LOSSES)
        rows = page.locator("runs-data-table").inner_text()
        assert all(f"best/{loss} lr=" in rows for loss in LOSSES)
    else:
        charts = page.locator("tf-scalar-card")
        charts.first.wait_for()
        wait_for(page, lambda: lines(charts.first), len(LOSSES))
        assert charts.count() >= 4
        print(f"first data after {time.monotonic() - start:.1f} s")
    no_error(page)


def test_every_chart_of_the_mechanisms_has_a_curve(page, links):
    start = time.monotonic()
    go(page, links["mechanisms"])
    margins = page.locator("tf-custom-scalar-margin-chart-card")
    margins.first.wait_for()
    wait_for(page, lambda: lines(margins.first) >= len(LOSSES), True)
    print(f"first data after {time.monotonic() - start:.1f} s")
    open_categories(page)
    for cards in (margins, page.locator("tf-custom-scalar-multi-line-chart-card")):
        assert cards.count() >= 4
        for card in cards.all():
            card.scroll_into_view_if_needed()
            wait_for(page, lambda card=card: lines(card) > 0, True)
    no_error(page)


def test_the_table_and_parallel_coordinates_have_every_configuration(page, links):
    start = time.monotonic()
    go(page, links["table"])
    expected = sorted(f"{loss} lr={rate}" for loss in LOSSES for rate in RATES)
    cells = page.locator("tf-hparams-table-view vaadin-grid-cell-content")

    def trials():
        texts = (text.strip() for text in cells.all_inner_texts())
        return sorted({text for text in texts if " lr=" in text})

    wait_for(page, trials, expected)
    print(f"first data after {time.monotonic() - start:.1f} s")
    ticked = page.locator(
        ".hparam-checkbox[aria-checked=true], .metric-checkbox[aria-checked=true]"
    )
    assert 5 <= ticked.count() <= 10
    page.locator("paper-tab").filter(has_text=re.compile("parallel", re.IGNORECASE)).click()
    plot = page.locator("tf-hparams-parallel-coords-plot svg .foreground path")
    wait_for(page, plot.count, len(expected))
    no_error(page)
