"""The links carry what makes TensorBoard's pages show curves."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from losslab.tensorboard import links

ADDRESS = "http://127.0.0.1:6006/"
RECORDED = ("val/accuracy", "val/nll", "val/ece", "optim/grad_norm")
RUNS = ("best/cross_entropy lr=0.03", "best/mse lr=0.3", "best/mse_softmax lr=1",
        "mse-lr=0.3-0a/seed=0", "over_seeds/mse-lr=0.3-0a")  # fmt: skip


def state(link: str) -> tuple[str, dict[str, str]]:
    """Return the page, and key to value of either part of an address."""
    parts = urlsplit(link)
    page, _, rest = parts.fragment.partition("&")
    assert not re.search(r"[\^|\s\"'<>]", link)  # where a terminal would end it
    given = parse_qs(parts.query, strict_parsing=bool(parts.query)) | parse_qs(rest)
    return page, {key: value for key, (value,) in given.items()}


def links_of(folder="best", recorded=RECORDED, several=True, runs=200):
    return links(ADDRESS, folder=folder, recorded=recorded, several=several, runs=runs)


def test_images_have_a_link_where_there_are_some():
    assert list(links_of()) == ["answer", "mechanisms", "table"]
    page, given = state(links_of(recorded=(*RECORDED, "confusion_matrix/val"))["images"])
    assert (page, given["regexInput"]) == ("images", "^best/")


def test_the_answer_has_pinned_cards_of_what_was_recorded():
    page, given = state(links_of()["answer"])
    assert (page, given["smoothing"]) == ("timeseries", "0")
    pinned = [card["tag"] for card in json.loads(given["pinnedCards"])]
    assert pinned == ["val/accuracy", "val/nll", "optim/grad_norm", "val/ece"]
    why = [f"why/{name}" for name in ("attenuation/ratio/confident_wrong", "logit_gradients/norm",
                                      "saturation/share/saturated_wrong")]  # fmt: skip
    _, given = state(links_of(recorded=(*RECORDED, *why))["answer"])
    assert [card["tag"] for card in json.loads(given["pinnedCards"])] == ["val/accuracy", *why]


def test_only_the_chosen_runs_are_shown_and_coloured_by_their_whole_loss():
    _, given = state(links_of()["answer"])
    shown = [run for run in RUNS if re.search(given["runFilter"], run)]
    assert shown == list(RUNS[:3])
    color = given["runColorGroup"].removeprefix("regex:")
    groups = [re.search(color, run)[1] for run in shown]
    assert groups == ["cross_entropy", "mse", "mse_softmax"]
    assert [run for run in RUNS if re.search("^best/mse ", run)] == ["best/mse lr=0.3"]
    assert "runColorGroup" not in state(links_of(several=False)["answer"])[1]


def test_above_500_runs_the_answer_is_on_a_page_that_shows_them():
    page, given = state(links_of(runs=501)["answer"])
    assert (page, given["_smoothingWeight"]) == ("scalars", "0")
    assert [run for run in RUNS if re.search(given["regexInput"], run)] == list(RUNS[:3])
    assert [
        tag for tag in (*RECORDED, "val/accuracy/lo") if re.search(given["tagFilter"], tag)
    ] == [*RECORDED]


@pytest.mark.parametrize("folder", ["best", "why (1)/best", "a.b+c/best"])
def test_mechanisms_and_table(folder):
    found = links_of(folder=folder)
    page, given = state(found["mechanisms"])
    assert (page, given["_smoothingWeight"]) == ("custom_scalars", "0")
    assert re.search(given["regexInput"], f"{folder}/mse lr=1")
    assert not re.search(given["regexInput"], "why/aXb+c/best/mse lr=1")
    assert state(found["table"]) == ("hparams", {})
