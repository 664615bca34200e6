"""``report.html``: right offline, safe with any name, and alive in a browser."""

import json
import os
import re
import shutil
from contextlib import contextmanager
from itertools import product

import pytest

from browser import CHROMIUM, FLAGS, needs_chromium
from losslab.figures.styles import LOSS_STYLES
from losslab.report import build, write_site
from losslab.report.html_report import study_page
from losslab.text import Console
from report.factory import tiny_plan, write_run, write_study

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(tiny_study, tmp_path_factory):
    return build(tiny_study, out=tmp_path_factory.mktemp("page"))[2]


def embedded(text):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(data)


def test_the_page_holds_the_numbers_of_results_json(page):
    results, text = json.loads((page.parent / "results.json").read_text()), page.read_text("utf-8")
    data = embedded(text)
    assert list(data["arms"]) == list(tiny_plan()["arms"])
    for name, about in data["arms"].items():
        measured = results["arms"][name]["confirmed"]["own"]["test/accuracy"]
        assert about["confirmed"]["own"] == measured
        grid = data["recorded"]["grid"][name]
        assert set(grid) == {"0.01", "0.1", "1"}
        # Three tuning seeds of 120 validation examples each.
        assert all(sum(map(sum, each["confusion"])) == 360 for each in grid.values())
        assert grid["0.1"]["curve"]["x"] == [1, 2, 3]
    for claim in results["claims"]:
        assert claim["statement"] in text
    assert "Test accuracy minus that of cross-entropy, each at its own best learning rate: " in text


def test_it_is_one_file_that_needs_no_network(page):
    text = page.read_text("utf-8")
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert page.stat().st_size < 6e6
    assert not re.search(r'(?:src|href)="(?!data:)', own)
    assert "default-src 'none'" in own


@pytest.mark.slow
def test_names_cannot_end_the_script_or_the_markup(tmp_path):
    plan = tiny_plan() | {"title": HOSTILE}
    plan["arms"]["mse"]["label"] = HOSTILE
    results = build(write_study(tmp_path / "tiny", plan))
    text = study_page(json.loads(results[1].read_text()), script="plotly.min.js")
    assert HOSTILE not in text
    assert embedded(text)["arms"]["mse"]["label"] == HOSTILE


@pytest.fixture(scope="module")
def sweep_page(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    grid = [(loss, rate, HOSTILE) for loss, rate in product(("mse", "brier"), (0.1, 0.3))]
    for index, (loss, rate, note) in enumerate([*grid, ("mse", 0.1, "plain")]):
        config = {"note": note, "optimizer": {"lr": rate}}
        for seed in (0, 1):
            accuracy = 0.9 - rate - 0.2 * (note == "plain")
            write_run(root, f"{loss}-{index}/seed={seed}", accuracy=accuracy, config=config)
    return build(root)[2]


def test_a_sweep_has_a_page_with_its_report_and_curves(sweep_page):
    text = sweep_page.read_text("utf-8")
    assert HOSTILE not in text
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!data:)', own)
    assert own.count('src="data:image/png;base64,') == 1  # accuracy against the rate
    (curves,) = re.findall(r"^const curves = (.*);$", text, flags=re.MULTILINE)
    curves = json.loads(curves)
    assert [curve["n"] for curve in curves] == [2] * 5
    # The best first, and the last of its curve is what the table says.
    assert "optimizer.lr=0.1" in curves[0]["name"]
    assert HOSTILE in curves[0]["name"]  # as text
    assert curves[0]["y"][-1] == pytest.approx(80.0)
    assert {(curve["name"].split(",")[0], curve["color"]) for curve in curves} == {
        (loss, LOSS_STYLES[loss].color) for loss in ("mse", "brier")
    }
    assert len({(curve["color"], curve["dash"]) for curve in curves}) == 5
    table = re.findall(r"<td[^>]*>([^<]*)</td>", own)
    assert table.count("mse") == 4  # the best, and three configurations


def test_every_data_set_has_its_best_curves(tmp_path):
    for (name, offset), rank in product((("easy", 0.5), ("hard", 0.1)), range(12)):
        config = {"data": {"dataset": name}, "optimizer": {"lr": rank}}
        run = f"mse-{name}-{rank}/seed=0"
        write_run(tmp_path, run, accuracy=offset + rank / 50, config=config)
    text = build(tmp_path)[2].read_text("utf-8")
    (curves,) = re.findall(r"^const curves = (.*);$", text, flags=re.MULTILINE)
    ends = sorted(curve["y"][-1] for curve in json.loads(curves))
    best = [100 * (offset + rank / 50) for offset in (0.1, 0.5) for rank in range(2, 12)]
    assert ends == pytest.approx(best, abs=0.1)
    assert "of each data set&#39;s 10 best configurations" in text


def test_committed_results_become_a_site(page, tmp_path):
    shutil.copytree(page.parent, tmp_path / "experiments" / "tiny")
    # What losslab did not draw is left out, and a pipe is not waited for.
    figures = tmp_path / "experiments" / "tiny" / "figures"
    os.mkfifo(figures / "pipe.png")
    (figures / "link.png").symlink_to("accuracy.png")
    write_site(tmp_path / "experiments", tmp_path / "site", console=Console(quiet=True))
    files = {path.name: path for path in (tmp_path / "site").iterdir()}
    assert set(files) == {"index.html", "plotly.min.js", "tiny.html"}
    assert 'href="tiny.html"' in files["index.html"].read_text()
    assert '<script src="plotly.min.js">' in files["tiny.html"].read_text()
    # A second time replaces them; a page that somebody wrote stays.
    write_site(tmp_path / "experiments", tmp_path / "site", console=Console(quiet=True))
    files["index.html"].write_text("mine")
    with pytest.raises(ValueError, match=r"index\.html"):
        write_site(tmp_path / "experiments", tmp_path / "site", console=Console(quiet=True))
    assert files["index.html"].read_text() == "mine"


@contextmanager
def pages(path, ready):
    """Yield the page in Chromium, wide and then narrow; each is checked when its test is done."""
    sync_api = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")

    def opened(browser):
        for width in (1400, 390):
            tab, errors = browser.new_page(viewport={"width": width, "height": 900}), []
            tab.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
            tab.on("console", lambda said, e=errors: said.type == "error" and e.append(said.text))
            tab.goto(path.as_uri())
            tab.wait_for_selector(ready, state="attached", timeout=60_000)
            yield tab
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            found = axe.Axe().run(tab).response["violations"]
            serious = [each for each in found if each["impact"] in ("serious", "critical")]
            assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []
            assert errors == []
            tab.close()

    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened(browser)
        browser.close()


@pytest.mark.slow
@needs_chromium
def test_a_sweeps_page_is_alive_and_accessible(sweep_page):
    with pages(sweep_page, "#curves .legendtoggle") as tabs:
        for tab in tabs:
            # A band and a line for each configuration.
            assert tab.evaluate("document.getElementById('curves').data.length") == 10


@pytest.mark.slow
@needs_chromium
def test_a_loss_is_hidden_everywhere_and_the_slider_moves_all_figures(page):
    drawn = "id => document.getElementById(id).data.length"
    with pages(page, "body[data-ready]") as tabs:
        for tab in tabs:
            before = {id: tab.evaluate(drawn, id) for id in ("accuracy", "tuning", "curves")}
            assert all(before.values())
            tab.uncheck("[data-family=mse]")
            assert all(tab.evaluate(drawn, id) < count for id, count in before.items())
            curve = "() => JSON.stringify(document.getElementById('curves').data.map(t => t.y))"
            matrix = "() => JSON.stringify(document.getElementById('confusion').data[0].z)"
            at_choice = tab.evaluate(curve), tab.evaluate(matrix)
            tab.focus("#value")
            tab.keyboard.press("End")
            assert tab.inner_text("#shown") == "1"
            assert at_choice[0] != tab.evaluate(curve)
            assert at_choice[1] != tab.evaluate(matrix)
            tab.click("details.claim summary")
            assert tab.is_visible("details.claim table")


@pytest.mark.slow
@needs_chromium
def test_a_gap_of_a_single_seed_is_drawn_without_an_interval(tmp_path):
    plan = tiny_plan() | {"claims": []}
    plan["confirm"] = [run for run in plan["confirm"] if run["seed"] == 100]
    root = write_study(tmp_path / "tiny", plan)
    plan |= {"axis": "classes", "conditions": {"few": {"label": "2"}}}
    for part in ("arms", "chosen"):
        plan[part] = {f"{arm}@few": value for arm, value in plan[part].items()}
    for part in ("tune", "confirm"):
        plan[part] = [run | {"arm": f"{run['arm']}@few"} for run in plan[part]]
    (root / "study.json").write_text(json.dumps(plan))
    with pages(build(root)[2], "body[data-ready]") as tabs:
        for tab in tabs:
            # Dots and a mean for each arm but the reference.
            assert tab.evaluate("document.getElementById('gap').data.length") == 4
