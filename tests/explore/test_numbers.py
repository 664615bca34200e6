"""The page's own JavaScript, run in Node.js, beside losslab.losses and autograd in float64."""

import json
import random
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from losslab.experiment import Composer
from losslab.explore import write_page
from losslab.losses import MAP

CONFIGS = Path(__file__).parents[2] / "conf" / "loss"
# A gradient swap depends on the batch; the page has one example.
LOSSES = sorted({path.stem for path in CONFIGS.glob("*.yaml")} - {"gradient_swap"})
TOLERANCE = 1e-6
POINTS, SETTINGS = 50, 20  # of each: 1,000 random points a loss
# The page's settings: which argument of which loss each is, and where its slider ends.
ARGUMENTS = {
    "epsilon": ("label_smoothing", "label_smoothing", (0.0, 0.6)),
    "M": ("rescaled_mse", "true_class_target", (1.0, 15.0)),
    "k": ("rescaled_mse", "true_class_weight", (1.0, 15.0)),
    "sigma": ("map_gaussian", "prior.std", (0.5, 10.0)),
    "b": ("map_laplace", "prior.scale", (0.5, 10.0)),
    "gamma": ("focal", "gamma", (0.0, 5.0)),
    "q": ("generalized_cross_entropy", "q", (0.01, 1.0)),
}
# What the page's first row of buttons shows, where one-sided losses and the hinge have kinks.
EXAMPLES = [
    [-4.0, 4.0, 0.0],
    [0.0, 0.0, 0.0],
    [1.0, 0.0, 0.0],
    [3.0, -1.0, -1.0],
    [6.0, -3.0, -3.0],
]


def node() -> str | None:
    """Return the path of Node.js, which Playwright brings along."""
    playwright = find_spec("playwright")
    found = shutil.which("node")
    if found is None and playwright is not None and playwright.origin is not None:
        found = shutil.which(Path(playwright.origin).parent / "driver" / "node")
    return found


NODE = node()
needs_node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed (nor Playwright)")


@pytest.fixture(scope="module")
def formulas(tmp_path_factory) -> str:
    """The first script of the page."""
    with Composer() as composer:
        path = write_page(tmp_path_factory.mktemp("page"), composer.descriptions("loss"))
    page = path.read_text("utf-8")
    return re.search(r"<script>(.*?)</script>", page, flags=re.DOTALL)[1]


def run(formulas: str, expression: str, given: object = None):
    """Return what an expression of the page's functions and of ``given`` is."""
    program = (
        f"{formulas}\nconst given = JSON.parse(require('fs').readFileSync(0, 'utf-8'));\n"
        f"process.stdout.write(JSON.stringify({expression}));"
    )
    ended = subprocess.run(
        [NODE, "-e", program], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def points() -> list[tuple[dict[str, float], list[list[float]]]]:
    """Return settings, and for each of them logits, everywhere that the page's sliders reach."""
    chance = random.Random(14)
    found = []
    for _ in range(SETTINGS):
        settings = {name: chance.uniform(*ends) for name, (_, _, ends) in ARGUMENTS.items()}
        settings["T"] = 2 ** chance.uniform(-2, 3)
        logits = [[chance.uniform(-10, 10) for _ in range(3)] for _ in range(POINTS)]
        found.append((settings, logits))
    usual = {"epsilon": 0.1, "M": 4.0, "k": 1.0, "sigma": 2.0, "b": 2.0, "gamma": 2.0, "q": 0.7}
    return [*found, ({**usual, "T": 1.0}, EXAMPLES)]


def expected(name: str, settings: dict[str, float], logits: torch.Tensor) -> torch.Tensor:
    """Return value, gradient, its norm, and the two eigenvalues: ``(N, 7)``."""
    config = OmegaConf.load(CONFIGS / f"{name}.yaml")
    for setting, (loss, key, _) in ARGUMENTS.items():
        if loss == name:
            OmegaConf.update(config, key, settings[setting])
    if OmegaConf.is_missing(config, "num_train"):
        config.num_train = 1
    loss = instantiate(config)

    label = torch.zeros(1, dtype=torch.int64)

    def at(z):
        weights = ([z[0]],) if isinstance(loss, MAP) else ()
        return loss(z.unsqueeze(0) / settings["T"], label, *weights)

    logits = logits.requires_grad_()
    value = torch.vmap(at)(logits)
    (gradient,) = torch.autograd.grad(value.sum(), logits, create_graph=True)
    gradient = gradient + 0.0 * logits  # a constant one depends on them, too
    rows = [torch.autograd.grad(each.sum(), logits, retain_graph=True)[0] for each in gradient.T]
    curvature = torch.linalg.eigvalsh(torch.stack(rows, 1))
    columns = (value[:, None], gradient, gradient.norm(dim=1, keepdim=True))
    return torch.cat([*columns, curvature[:, [0]], curvature[:, [2]]], 1).detach()


@needs_node
def test_every_loss_has_a_formula(formulas):
    assert sorted(run(formulas, "Object.keys(LOSSES)")) == LOSSES, (
        "write the loss's formula in src/losslab/explore/losses.js"
    )


@pytest.fixture(scope="module")
def computed(formulas) -> dict[str, torch.Tensor]:
    """What the page says of each loss at all points: value, gradient, norm, eigenvalues."""
    evaluate = """Object.fromEntries(Object.keys(LOSSES).map((name) => [name,
        given.flatMap(([settings, logits]) => logits.map((z) => {
            const e = evaluate(name, z, settings);
            return [e.value, ...e.gradient, e.norm, e.smallest, e.largest];
        }))]))"""
    found = run(formulas, evaluate, points())
    return {name: torch.tensor(rows, dtype=torch.float64) for name, rows in found.items()}


@needs_node
@pytest.mark.parametrize("name", LOSSES)
def test_the_page_agrees_with_the_library(computed, name):
    right = torch.cat([
        expected(name, settings, torch.tensor(logits, dtype=torch.float64))
        for settings, logits in points()
    ])  # fmt: skip
    assert len(right) == POINTS * SETTINGS + len(EXAMPLES)
    torch.testing.assert_close(computed[name], right, rtol=0.0, atol=TOLERANCE)
