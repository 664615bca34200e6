"""A simulated device: its tensors have numbers, and an operation cannot mix them with the CPU's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

# Autograd asks for a real device of every kind but this, whose own tensors have no numbers.
NAME = "meta"
_OPS = torch.ops.aten
_BETWEEN_DEVICES = (_OPS.copy_.default, _OPS._to_copy.default)
_READ_BY_PYTHON = (_OPS._local_scalar_dense.default, _OPS.equal.default)
_WITH_INDICES_OF_THE_CPU = (_OPS.index.Tensor, _OPS.index_put_.default)


class _OnDevice(torch.Tensor):
    """A tensor on the device; ``on_cpu`` has the same numbers."""

    on_cpu: torch.Tensor
    is_meta = False  # since there are numbers to load

    @staticmethod
    def __new__(cls, on_cpu: torch.Tensor) -> "_OnDevice":
        like = {name: getattr(on_cpu, name) for name in ("dtype", "layout", "requires_grad")}
        strides, offset = on_cpu.stride(), on_cpu.storage_offset()
        with torch.inference_mode(mode=False):
            tensor = torch.Tensor._make_wrapper_subclass(
                cls, on_cpu.shape, strides=strides, storage_offset=offset, device=NAME, **like
            )
        tensor.on_cpu = on_cpu
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func: Any, *_: Any) -> Any:
        raise RuntimeError(f"{func} outside of the device's context")

    def __reduce_ex__(self, protocol: Any) -> Any:  # for checkpoints, which are loaded to the CPU
        return self.on_cpu.__reduce_ex__(protocol)

    def tolist(self) -> Any:
        return self.on_cpu.tolist()

    @property
    def data(self) -> torch.Tensor:
        return torch.Tensor.data.__get__(self)

    @data.setter
    def data(self, value: "_OnDevice") -> None:
        torch.Tensor.data.__set__(self, value)
        self.on_cpu = value.on_cpu


def _to_cpu(value: Any) -> Any:
    return value.on_cpu if isinstance(value, _OnDevice) else value


class SimulatedDevice(TorchDispatchMode):
    """Compute on the CPU; raise ``RuntimeError`` where an operation has tensors of both devices.

    As on CUDA, a number without dimensions may be on the CPU, and so may indices.

    Args:
        float64: Whether the device has float64. Apple's MPS has none.

    Attributes:
        operations: How many operations there were on the device.
    """

    def __init__(self, *, float64: bool = True) -> None:
        super().__init__()
        self.float64, self.operations = float64, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        on_device = [x for x in tensors if isinstance(x, _OnDevice)]
        others = [x for x in tensors if x.ndim and not isinstance(x, _OnDevice)]
        self.operations += bool(on_device)
        indexed = func in _WITH_INDICES_OF_THE_CPU and isinstance(args[0], _OnDevice)
        if on_device and others and func not in _BETWEEN_DEVICES and not indexed:
            raise RuntimeError(f"Expected all tensors to be on the same device: {func}")
        returns_on_device = bool(on_device) and func not in _READ_BY_PYTHON
        if kwargs.get("device") is not None:
            returns_on_device = torch.device(kwargs["device"]).type == NAME
            kwargs["device"] = torch.device("cpu")
        result = func(*tree_map(_to_cpu, args), **tree_map(_to_cpu, kwargs))
        if isinstance(result, torch.Tensor) and result is _to_cpu(args[0]):  # changed in place
            return args[0]
        known = {id(tensor.on_cpu): tensor for tensor in on_device}

        def wrap(value: Any) -> Any:
            if isinstance(value, torch.Tensor) and id(value) not in known:
                if value.dtype == torch.float64 and not self.float64:
                    raise TypeError(f"the device has no float64: {func}")
                known[id(value)] = _OnDevice(value)
            return known.get(id(value), value)

        return tree_map(wrap, result) if returns_on_device else result


@contextmanager
def simulated_device(
    monkeypatch: pytest.MonkeyPatch, *, float64: bool = True
) -> Iterator[SimulatedDevice]:
    """Let ``trainer.device`` be :data:`NAME`, and yield the device."""
    import torch.optim.optimizer as optimizers

    import losslab.experiment.build
    import losslab.experiment.identity
    import losslab.experiment.run
    import losslab.experiment.saved_model
    import losslab.losses.gradient_swap
    import losslab.metrics.classification

    for module in (
        *(losslab.experiment.build, losslab.experiment.identity),
        *(losslab.experiment.run, losslab.experiment.saved_model),
    ):
        monkeypatch.setattr(module, "resolve_device", torch.device)
    autocast, fused = torch.autocast, optimizers._get_fused_kernels_supported_devices
    monkeypatch.setattr(
        torch, "autocast", lambda kind, **words: autocast("cpu" if kind == NAME else kind, **words)
    )
    monkeypatch.setattr(
        optimizers, "_get_fused_kernels_supported_devices", lambda: [*fused(), NAME]
    )
    for module in (losslab.losses.gradient_swap, losslab.metrics.classification):
        monkeypatch.setattr(module, "_WITHOUT_FLOAT64", () if float64 else (NAME,))
    with SimulatedDevice(float64=float64) as device:
        yield device
