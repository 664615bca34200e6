"""Links to TensorBoard's pages, with the state that makes them show the answer."""

import json
import re
from collections.abc import Collection
from urllib.parse import quote, urlencode

PALETTE = ("#425066", "#12B5CB", "#E52592", "#F9AB00", "#9334E6", "#7CB342", "#E8710A")
"""The colours of the Time Series page, assigned to groups of runs by start time."""

_MOST_RUNS = 500  # with more, the Time Series page shows no curves
_IMAGE = "confusion_matrix/val"  # each configuration with images has it
_PINNED = (  # the first of each that was recorded
    ("val/accuracy",),
    ("why/attenuation/ratio/confident_wrong", "val/nll"),
    ("why/logit_gradients/norm", "optim/grad_norm"),
    ("why/saturation/share/saturated_wrong", "val/ece"),
)


def links(
    address: str, *, folder: str, recorded: Collection[str], several: bool, runs: int
) -> dict[str, str]:
    """Return name to address: ``answer``, ``mechanisms``, ``images`` if there are any, ``table``.

    ``folder`` is TensorBoard's name of the runs to show, such as ``best``; ``recorded`` are their
    tags; ``several`` colours runs by their first word, the loss. Time Series shows none of more
    than 500 ``runs``; the answer is then on the page Scalars.
    """
    runs_pattern = f"^{_escape(folder)}/"
    first = (next((tag for tag in tags if tag in recorded), "") for tags in _PINNED)
    tags = list(filter(None, first))
    if runs <= _MOST_RUNS:
        cards = [{"plugin": "scalars", "tag": tag} for tag in tags]
        pinned = json.dumps(cards, separators=(",", ":"))
        state = {"pinnedCards": pinned, "runFilter": runs_pattern, "smoothing": "0"}
        if several:
            state["runColorGroup"] = f"regex:{runs_pattern}([^ ]+)"
        answer = f"{address}?{_query(state)}#timeseries"
    else:
        tags_pattern = "|".join(f"^{_escape(tag)}$" for tag in tags)
        state = {"regexInput": runs_pattern, "tagFilter": tags_pattern}
        answer = f"{address}#scalars&{_query(state)}&_smoothingWeight=0"
    run_filter = _query({"regexInput": runs_pattern})
    images = {"images": f"{address}#images&{run_filter}"} if _IMAGE in recorded else {}
    return {
        "answer": answer,
        "mechanisms": f"{address}#custom_scalars&{run_filter}&_smoothingWeight=0",
        **images,
        "table": f"{address}#hparams",
    }


def _query(state: dict[str, str]) -> str:
    return urlencode(state, quote_via=quote, safe="/")


def _escape(text: str) -> str:
    # Not re.escape, which also escapes hyphens; JavaScript need not.
    return re.sub(r"[.*+?^${}()|\[\]\\]", r"\\\g<0>", text)
