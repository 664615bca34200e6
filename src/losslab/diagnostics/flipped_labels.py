"""Under label noise: does the network learn the wrong labels by heart?"""

from dataclasses import dataclass

from losslab.diagnostics.view import View
from losslab.types import Finding


@dataclass(frozen=True, kw_only=True)
class FlippedLabels:
    """What the network says of training examples whose label was flipped (``data.label_noise``).

    - ``memorised``: share of the flipped examples on which it says the wrong label it was given;
    - ``corrected``: share of them on which it says the label before the flip;
    - ``clean_accuracy``: accuracy on the examples whose label was not flipped.

    The predictions are those of the last epoch's training batches, each before its update, in
    training mode and with augmentation: all N training examples, where a probe of a few hundred
    would hold some dozens of flipped ones (a standard error of 7 points), and no further pass
    through the network. What was memorised was so in an earlier epoch. As the learning rate goes
    to 0 at the end of training, the last epoch's numbers become those of the final weights.

    Absent without label noise and before the first epoch.

    Reading: a network that knows nothing memorises 1/K. A robust loss keeps ``memorised`` low and
    ``corrected`` high for long; both count against the training accuracy, so judge by the test
    part, whose labels are clean.

    Cost: O(N·K) an epoch, one argmax.

    Attributes:
        every: Epochs between two looks.
    """

    every: int | None = 1

    def measure(self, view: View) -> Finding:
        """Return shares in [0, 1]."""
        if view.epoch is None:
            return Finding({}, {})
        (logits, labels), clean = view.epoch.predictions, view.epoch.clean_labels
        flipped = labels != clean
        if not bool(flipped.any()):
            return Finding({}, {})
        said = logits.argmax(1)
        shares = {
            "memorised": (said == labels)[flipped],
            "corrected": (said == clean)[flipped],
            "clean_accuracy": (said == labels)[~flipped],
        }
        return Finding(
            {name: who.float().mean().item() for name, who in shares.items() if len(who)}, {}
        )
