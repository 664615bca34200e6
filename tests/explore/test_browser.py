"""The page of `losslab explore` in a real browser, offline, at the size of a desk and a phone."""

import re

import pytest
import torch

from browser import CHROMIUM, FLAGS, needs_chromium
from losslab.experiment import Composer
from losslab.explore import write_page
from losslab.figures import LOSS_STYLES
from losslab.losses import CrossEntropy, SquaredError

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
pytestmark = [pytest.mark.slow, needs_chromium]
DESK, PHONE = (1600, 1000), (390, 844)
FOCUSED = "document.activeElement.id || document.activeElement.tagName"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    with Composer() as composer:
        path = write_page(tmp_path_factory.mktemp("page"), composer.descriptions("loss"))
    return path.as_uri()


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(browser, address, request):
    """The page, as it is first shown, without a network."""
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
    page = context.new_page()
    said, asked = [], []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.locator("#rows tr").first.wait_for()
    yield page
    assert said == []
    assert asked == [address]
    context.close()


def shown(page) -> list[str]:
    return [code.inner_text() for code in page.locator("#rows th code").all()]


def cells(page, loss: str) -> list[float]:
    """Return value, gradient norm, and least and greatest curvature of a loss in the table."""
    row = page.locator("#rows tr").filter(has=page.get_by_text(loss, exact=True))
    texts = row.locator("td").all_inner_texts()[:4]
    powers = dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True))
    raised = [re.sub("[⁻⁰-⁹¹²³]", lambda c: powers[c[0]], text) for text in texts]
    return [float(text.replace("−", "-").replace("·10", "e")) for text in raised]


def settle(page) -> None:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


@pytest.mark.parametrize(
    ("example", "logits"), [("confidently wrong", [-4, 4, 0]), ("too right", [6, -3, -3])]
)
def test_the_table_shows_the_librarys_numbers(page, example, logits):
    page.get_by_role("button", name=example, exact=True).click()
    settle(page)
    for name, loss in {
        "cross_entropy": CrossEntropy(),
        "mse": SquaredError("none"),
        "mse_softmax": SquaredError("softmax"),
    }.items():
        z = torch.tensor([logits], dtype=torch.float64, requires_grad=True)
        value = loss(z, torch.tensor([0]))
        value.backward()
        right = [value.item(), z.grad.norm().item()]
        assert cells(page, name)[:2] == pytest.approx(right, rel=0.06, abs=5e-4)


def test_where_the_network_is_confidently_wrong_only_softmax_squares_are_flat(page):
    assert cells(page, "cross_entropy")[1] > 1
    assert cells(page, "mse")[1] > 1
    assert cells(page, "mse_softmax")[1] < 0.02
    assert "mse_softmax" in page.locator("#short").inner_text()
    assert cells(page, "mse_softmax")[2] < 0 == cells(page, "cross_entropy")[2]


def test_it_is_used_by_keyboard(page):
    page.keyboard.press("Tab")
    for name in ("confidently wrong", "undecided"):
        assert page.evaluate("document.activeElement.textContent") == name
        page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    settle(page)
    before = cells(page, "cross_entropy")
    assert before[0] == pytest.approx(1.099, abs=1e-3)  # log 3
    while page.evaluate(FOCUSED) != "logit-A":
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    settle(page)
    assert cells(page, "cross_entropy")[0] == pytest.approx(
        torch.tensor([0.1, 0.0, 0.0]).logsumexp(0).item() - 0.1, abs=1e-3
    )
    reached = set()
    while (at := page.evaluate(FOCUSED)) != "BODY":
        reached.add(at)
        page.keyboard.press("Tab")
    boxes = {f"loss-{name}" for name in LOSS_STYLES}
    sliders = {item.get_attribute("id") for item in page.locator("input[type=range]").all()}
    assert {*boxes, *sliders, "log"} <= reached


def test_a_slider_shows_its_loss_and_a_box_hides_it(page):
    assert shown(page) == ["cross_entropy", "mse", "mse_softmax", "brier"]
    page.locator("#setting-epsilon").press("ArrowRight")
    settle(page)
    assert "label_smoothing" in shown(page)
    page.locator("#loss-cross_entropy").uncheck()
    settle(page)
    assert shown(page) == ["label_smoothing", "mse", "mse_softmax", "brier"]


def test_steps_of_cross_entropy_lead_to_the_true_class(page):
    button = page.get_by_role("button", name="step on cross_entropy")
    for _ in range(8):
        button.press("Enter")
        settle(page)
    assert cells(page, "cross_entropy")[0] < 0.1


def test_the_point_is_dragged(page):
    box = page.locator("#simplex").bounding_box()
    handle = page.locator("#handle").bounding_box()
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40, steps=4)
    page.mouse.up()
    settle(page)
    assert cells(page, "cross_entropy")[0] < 0.3


def test_every_loss_is_drawn_in_its_own_style(page):
    for name in LOSS_STYLES:
        page.locator(f"#loss-{name}").check()
    settle(page)
    assert set(shown(page)) == set(LOSS_STYLES)
    strokes = page.locator("#curves g path[stroke-dasharray]").evaluate_all(
        "all => all.map((each) => each.getAttribute('stroke'))"
    )
    assert strokes == 3 * [style.color for style in LOSS_STYLES.values()]


def test_nothing_is_wider_than_the_screen_and_axe_finds_nothing_serious(page):
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    for change in ("", "#log", "#loss-map_gaussian"):
        if change:
            page.locator(change).check()
            settle(page)
        found = axe.Axe().run(page).response["violations"]
        assert [(each["id"], each["help"]) for each in found] == []
