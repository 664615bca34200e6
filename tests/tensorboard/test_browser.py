"""TensorBoard as people see it: a real sweep, the real command, a real browser.

The pages are custom elements; Playwright's CSS looks into their shadow roots.
"""

import math
import re
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import needs_chromium
from browsing import PATIENCE, board_on, browser_page, command, fetch, go, open_categories, wait_for
from running import TINY, read, status

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = [pytest.mark.slow, needs_chromium]
METRICS = ("test/accuracy", "test/nll", "test/ece")
# Losses with hyper-parameters of their own; some configurations diverge, some fail.
GRID = ("loss=cross_entropy,mse,broken", "optimizer.lr=0.05,1e9", "seed=0,1")
BROKEN = """\
from losslab.losses import CrossEntropy

class Broken(CrossEntropy):
    steps = 0
    def per_example(self, logits, target):
        self.steps += len(target) == 32
        if self.steps > 15:
            raise RuntimeError("broken")
        return super().per_example(logits, target)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A finished sweep, with its report."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "broken_loss.py").write_text(BROKEN)
    (folder / "conf" / "loss").mkdir(parents=True)
    (folder / "conf" / "loss" / "broken.yaml").write_text("_target_: broken_loss.Broken\n")
    grid = ("--config-dir", "conf", *TINY, *GRID)
    subprocess.run(command("train", "-m", *grid), cwd=folder, capture_output=True, check=False)
    subprocess.run(command("report", "outputs/runs"), cwd=folder, check=True, capture_output=True)
    assert {status(run) for run in runs(folder)} == {"diverged", "done", "failed"}
    return folder


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "outputs" / "runs").glob("*/seed=*"))


def configurations(folder: Path, *states: str) -> dict[str, list[Path]]:
    """Return the runs by the name of their configuration in TensorBoard."""
    groups = defaultdict(list)
    for run in runs(folder):
        if status(run) in states or not states:
            groups[f"runs/{run.parent.name}"].append(run)
    return dict(groups)


def trials(folder: Path, *states: str) -> dict[str, list[Path]]:
    """Return the runs by the name of their configuration in the table."""
    return {
        re.sub(r"runs/(\w+)-.*lr=([\d.e+]+)-.*", lambda m: f"{m[1]} lr={float(m[2]):g}", name): each
        for name, each in configurations(folder, *states).items()
    }


def chosen(folder: Path) -> set[str]:
    """Return the losses with a finished run."""
    return {name.split()[0] for name in trials(folder, "done", "diverged")}


@pytest.fixture(scope="module")
def board(folder) -> Iterator[str]:
    """TensorBoard's address."""
    averaged = configurations(folder, "done", "diverged")
    with board_on(folder, runs=len(runs(folder)) + len(averaged) + len(chosen(folder))) as (
        address,
        _,
    ):
        yield address


@pytest.fixture(scope="module")
def page(board, tmp_path_factory):
    with browser_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


def show(page, board: str, name: str) -> None:
    go(page, f"{board}#{name}")


def test_scalars_have_all_runs(page, board, folder):
    show(page, board, "scalars")
    names = {run.relative_to(folder / "outputs").as_posix() for run in runs(folder)}
    names |= {f"runs/over_seeds/{name.partition('/')[2]}"
              for name in configurations(folder, "done", "diverged")}  # fmt: skip

    def found():
        texts = "".join(page.locator("tf-runs-selector").locator("*").all_text_contents())
        return {name for name in names if name in texts}

    wait_for(page, found, names)
    page.locator("tf-scalar-card").first.wait_for()


def test_custom_scalars_put_the_losses_side_by_side(page, board, folder):
    show(page, board, "custom_scalars")
    lines = page.locator("tf-custom-scalar-multi-line-chart-card")
    margins = page.locator("tf-custom-scalar-margin-chart-card")
    margins.nth(3).wait_for()
    open_categories(page)
    lines.nth(3).wait_for()
    titles = ["accuracy", "NLL (nats)", "Brier score", "ECE"]
    for cards, matches in (
        # All runs were validated at least once, before training.
        (lines, len(runs(folder)) + len(chosen(folder))),
        (margins, len(configurations(folder, "done", "diverged")) + len(chosen(folder))),
    ):
        placed = {
            card.evaluate("card => card.title"): card.bounding_box() for card in cards.all()[:10]
        }
        boxes = [placed[title] for title in titles]
        assert [(box["y"], box["x"]) for box in boxes] == sorted(
            (box["y"], box["x"]) for box in boxes
        )
        first = cards.nth([card.evaluate("c => c.title") for card in cards.all()].index("accuracy"))
        wait_for(
            page,
            lambda card=first: card.get_by_text(re.compile(r"Matches \(\d+\)")).inner_text(),
            f"Matches ({matches})",
        )


def test_each_configuration_has_its_images(page, board, folder):
    show(page, board, "images")
    kinds = ["confusion_matrix", "first_layer", "gradient_profile", "reliability", "weights"]
    panes = page.locator("tf-category-paginated-view")
    panes.nth(len(kinds) - 1).wait_for()
    for kind in kinds:
        header = page.locator("tf-category-paginated-view button.heading").filter(has_text=kind)
        if header.get_attribute("open-button") is None:
            header.click()
    done = trials(folder, "done")
    expected = len(kinds) * len([*done, *{name.split()[0] for name in done}])  # and those in best/

    def loaded():
        widths = page.locator("tf-image-loader img").evaluate_all(
            "all => all.map(i => i.naturalWidth)"
        )
        return sum(width == 350 for width in widths)

    wait_for(page, loaded, expected)


class Table:
    """The HParams table as it is on the screen."""

    def __init__(self, page, board):
        self.page = page
        show(page, board, "hparams")
        page.locator("tf-hparams-table-view vaadin-grid").wait_for()

    def read(self) -> tuple[set[str], list[dict[str, str]]]:
        """Return the columns, and the rows from top to bottom, column to text."""
        # Cells lie side by side in the document; the slot that each is in has row and column.
        cells = self.page.locator("tf-hparams-table-view vaadin-grid-cell-content").evaluate_all(
            """all => all.filter(cell => cell.assignedSlot && cell.innerText.trim()).map(cell => {
                const place = cell.assignedSlot.parentElement, row = place.parentElement;
                const box = place.getBoundingClientRect();
                return [cell.innerText.trim().replace(/\\s+/g, " "), row.parentElement.localName,
                        Math.round(box.x), Math.round(row.getBoundingClientRect().y)];
            })"""
        )
        head = {x: text for text, part, x, _ in cells if part == "thead"}
        rows: dict[int, dict[str, str]] = defaultdict(dict)
        for text, part, x, y in cells:
            if part == "tbody" and x in head:
                rows[y][head[x]] = text
        shown = [row for _, row in sorted(rows.items()) if "Trial ID" in row]
        return set(head.values()), shown

    def names(self) -> list[str]:
        return [row["Trial ID"] for row in self.read()[1]]

    def choose(self, *columns: str) -> None:
        """Show these columns, and no others."""
        for box in self.page.locator(".hparam-checkbox, .metric-checkbox").all():
            wanted = box.inner_text().strip() in columns
            if wanted != (box.get_attribute("aria-checked") == "true"):
                box.evaluate("box => box.click()")

    def toggle(self, name: str) -> None:
        exact = re.compile(rf"^\s*{name}\s*$")
        self.page.locator(".section.status paper-checkbox").filter(has_text=exact).click()

    def select(self, label: str, choice: str) -> None:
        menu = self.page.locator(f'paper-dropdown-menu[label="{label}"]')
        exact = re.compile(rf"^\s*{re.escape(choice)}\s*$")
        # The list itself: opening it takes an animation.
        menu.locator("paper-item").filter(has_text=exact).evaluate("item => item.click()")


@pytest.fixture
def table(page, board):
    return Table(page, board)


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_the_table_has_a_row_a_configuration_averaged_over_seeds(table, page, folder):
    groups = trials(folder)
    wait_for(page, lambda: sorted(table.names()), sorted(groups))
    # What the loss's name settles, such as loss.activation, is no column.
    columns = {"loss", "optimizer.lr", *METRICS, *(tag.replace("test", "val") for tag in METRICS)}
    table.choose(*columns)
    wait_for(page, lambda: table.read()[0] - {"Trial ID", "Show Metrics"}, columns)
    rows = {row["Trial ID"]: row for row in table.read()[1]}
    for name, members in groups.items():
        row, finished = rows[name], [run for run in members if status(run) != "failed"]
        loss, lr = name.split(" lr=")
        assert row["loss"] == loss
        assert number(row["optimizer.lr"]) == float(lr)
        for metric in METRICS:
            values = [read(run / "summary.json").get(metric, math.nan) for run in finished]
            if not values or not all(math.isfinite(value) for value in values):
                assert metric not in row
            else:
                assert number(row[metric]) == pytest.approx(statistics.mean(values), rel=1e-3)


def test_status_is_success_or_failure(table, page, folder):
    good, bad = (trials(folder, *states) for states in (["done"], ["diverged", "failed"]))
    wait_for(page, lambda: sorted(table.names()), sorted({**good, **bad}))
    table.toggle("Success")
    wait_for(page, lambda: sorted(table.names()), sorted(bad))
    table.toggle("Success")
    table.toggle("Failure")
    wait_for(page, lambda: sorted(table.names()), sorted(good))


def test_the_table_sorts(table, page, folder):
    means = {
        name: statistics.mean(read(run / "summary.json")["test/accuracy"] for run in members)
        for name, members in trials(folder, "done").items()
    }
    table.toggle("Failure")
    wait_for(page, lambda: sorted(table.names()), sorted(means))
    table.select("Sort by", "test/accuracy")
    for direction, reverse in (("Descending", True), ("Ascending", False)):
        table.select("Direction", direction)
        wait_for(page, table.names, sorted(means, key=means.get, reverse=reverse))


def test_parallel_coordinates_have_a_line_a_configuration(table, page, folder):
    groups = trials(folder, "done")
    wait_for(page, lambda: len(table.names()), len(trials(folder)))
    table.choose("loss", "test/accuracy", "test/nll")
    table.toggle("Failure")
    page.locator("paper-tab").filter(has_text=re.compile("parallel", re.IGNORECASE)).click()
    plot = page.locator("tf-hparams-parallel-coords-plot svg")
    wait_for(page, lambda: plot.locator(".axis").count(), 3)
    wait_for(page, lambda: plot.locator(".foreground path").count(), len(groups))


def test_a_run_under_way_is_seen_to_grow(page, board, folder):
    with subprocess.Popen(
        command("train", *TINY, "trainer.epochs=100000", "name=live"),
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            lengths = []
            deadline = time.monotonic() + PATIENCE / 1000
            while len(set(lengths)) < 3:
                assert time.monotonic() < deadline, lengths
                assert process.poll() is None
                # A run is listed before its numbers are: asking for them then is a 404.
                tags = fetch(board, "data/plugin/scalars/tags")
                live = [n for n in tags if n.startswith("live/") and "val/accuracy" in tags[n]]
                for name in live[:1]:
                    query = {"run": name, "tag": "val/accuracy"}
                    lengths.append(fetch(board, "data/plugin/scalars/scalars", **query)[-1][1])
                time.sleep(0.5)
            show(page, board, "scalars")
            runs_shown = page.locator("tf-runs-selector").locator("*")
            wait_for(page, lambda: name in "".join(runs_shown.all_text_contents()), True)
        finally:
            process.kill()
