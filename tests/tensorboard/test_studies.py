"""TensorBoard on the runs of every study that plans some: no chart is empty or shows an error."""

import pytest
import torch

from browser import needs_chromium
from browsing import board_on, browser_page, go, lines, no_error, open_categories, wait_for
from losslab.data import Source
from losslab.experiment import Composer
from losslab.launchers import dispatch, outcome
from losslab.study.session import open_study
from losslab.text import Console
from number_of_classes import rows

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = [pytest.mark.slow, needs_chromium]
# Blobs have four classes. The study with data of its own gets noise.
DATA = {"number_of_classes": (), "transfer": ("data=mnist5k",)}
# What the charts show depends on losses and diagnostics, not on how long they were trained.
SMALL = (
    *("data.train_size=48", "data.val_size=48", "trainer.batch_size=16", "trainer.epochs=2"),
    *("trainer.log_every=1", "trainer.device=cpu", "launcher=serial"),
)
MOST = 4  # configurations of a study
WITHOUT_RUNS = {"edge"}  # its measures train without run directories
with Composer() as composer:
    STUDIES = [name for name in composer.choices("study") if name not in WITHOUT_RUNS]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def digits(monkeypatch):
    """Let MNIST be noise."""

    def part(count):
        images = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8)
        return images, torch.arange(count) % 10

    source = Source("digits", *part(400), *part(100), 10, tuple("0123456789"))
    monkeypatch.setattr(rows, "mnist", lambda **_: source)


def train(study: str) -> int:
    """Train each loss of a study, or the first sets of its runs, on two seeds; return how many."""
    words = (*DATA.get(study, ("data=synthetic",)), *SMALL)
    with Composer() as composer:
        console = Console(quiet=True)
        planned, session = open_study(composer, study, words, console=console, command="")
        cells = {
            cell.template.choices["loss"]: cell
            for cell in reversed(planned.cells(session).values())
        }
        sets = [
            [cell.run(planned.parameter, cell.values[0], seed, start=None) for seed in (100, 101)]
            for cell in cells.values()
        ] or list(planned.sets(session).values())
        runs = list(dict.fromkeys(run for members in sets[:MOST] for run in members[:2]))
        with session.launcher:
            dispatch(session.launcher, runs, console=console, title="charts")
    assert outcome(runs) == []
    return len(runs)


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.usefixtures("digits")
def test_no_chart_of_a_study_is_empty(study, page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = train(study)
    with board_on(tmp_path, f"outputs/{study}", runs=runs) as (_, links):
        go(page, links["mechanisms"])
        open_categories(page)
        cards = page.locator(
            "tf-custom-scalar-margin-chart-card, tf-custom-scalar-multi-line-chart-card"
        )
        wait_for(page, lambda: cards.count() > 0, True)
        for card in cards.all():
            card.scroll_into_view_if_needed()
            wait_for(page, lambda card=card: lines(card) > 0, True)
        no_error(page)
