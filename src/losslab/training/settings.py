"""Settings of the training loop."""

from dataclasses import dataclass

import torch

PRECISIONS = {"float32": None, "tf32": None, "bfloat16": torch.bfloat16}
ENGINES = ("auto", "eager", "graph", "stacked")
MOST_THREADS = 1024  # torch accepts any number, but too many crash the process


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """The settings of the training loop; the target of ``conf/trainer``.

    Attributes:
        batch_size: Examples per step.
        epochs: Passes over the training part.
        steps: Number of steps instead of epochs.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:<index>`` or ``mps``.
        precision: ``float32``; ``tf32``, which multiplies with a 10-bit mantissa on recent GPUs
            and is float32 elsewhere; or ``bfloat16`` for the forward pass (autocast).
        engine: ``eager`` executes operations one by one. ``graph`` replays them from a CUDA graph
            and gives the same bits. ``stacked`` trains runs of the same shapes in a sweep as one
            program, equal up to rounding. ``auto`` is, on CUDA, ``stacked`` in sweeps that allow it
            and ``graph`` otherwise; elsewhere it is ``eager``.
        stack_size: Runs in a stack; ``None`` for as many as fit into 16 GiB, at most 64.
        threads: CPU threads per run. With one thread, a run gives the same numbers alone and in a
            sweep, and a sweep runs one run per core.
        deterministic: Whether the same command gives bit-identical weights.
        channels_last: Whether images are in channels-last memory format, which is faster on CPUs
            and recent GPUs.
        log_every: Steps between two records of the objective and the norms.
        checkpoint_every: Epochs between two checkpoints.
        pictures_every: Epochs between two sets of the run's figures in TensorBoard; ``None`` for no
            figures. The last set, at the end, has precision-recall curves. Reports draw the figures
            of each configuration in any case.
        histograms_every: Epochs between two histograms of outputs and weights, ``None`` for none.
        all_tags: Whether TensorBoard shows every tag of ``metrics.jsonl``, or only about thirty.
        probe_size: Number of training examples, a fixed set, that the diagnostics use.

    Raises:
        ValueError: A value is out of range.
    """

    batch_size: int
    epochs: int | None = None
    steps: int | None = None
    device: str = "auto"
    precision: str = "float32"
    engine: str = "auto"
    stack_size: int | None = None
    threads: int = 1
    deterministic: bool = True
    channels_last: bool = True
    log_every: int = 50
    checkpoint_every: int = 1
    pictures_every: int | None = None
    histograms_every: int | None = 1
    all_tags: bool = False
    probe_size: int = 256

    def __post_init__(self) -> None:
        cadences = ("pictures_every", "histograms_every")
        for name, value in vars(self).items():
            if value is None and name in ("epochs", "steps", "stack_size", *cadences):
                continue
            if name in ("device", "precision", "engine"):
                continue
            if name in ("deterministic", "channels_last", "all_tags"):
                if type(value) is not bool:
                    raise ValueError(f"trainer.{name}={value}; give true or false")
            elif type(value) is not int or value < 1:
                none = ", or null for none" if name in cadences else ""
                raise ValueError(f"trainer.{name}={value}; give a whole number ≥ 1{none}")
        if self.threads > MOST_THREADS:
            raise ValueError(f"trainer.threads={self.threads}; give 1 to {MOST_THREADS}")
        if self.epochs is None and self.steps is None:
            raise ValueError("trainer.epochs and trainer.steps are both null; give one of them")
        for name, allowed in {"precision": PRECISIONS, "engine": ENGINES}.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"trainer.{name}={value}; allowed are {', '.join(allowed)}")

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return the number of steps of the whole run."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return self.epochs * steps_per_epoch
