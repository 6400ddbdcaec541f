"""Batches for the device, without a line of Python a row: a batch is a few indexed copies of whole tensors.

Rows that fit stay on the device. Others are gathered into pinned memory by a thread and copied while the device
computes on the batch before.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

AHEAD = 3  # batches on their way
SHARE = 0.5  # of the free memory of a device that rows may take


@dataclass(frozen=True)
class Batch:
    numbers: torch.Tensor
    codes: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None

    def tensors(self) -> tuple[torch.Tensor, ...]:
        held = (self.numbers, self.codes, self.target)
        return held if self.weight is None else (*held, self.weight)


class DeviceRows:
    """All rows of one set. `resident` says where they lie."""

    def __init__(
        self,
        numbers: np.ndarray,
        codes: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None,
        device: torch.device,
        *,
        where: Literal["auto", "resident", "streamed"] = "auto",
    ) -> None:
        weights = None if weight is None else torch.from_numpy(weight.astype("float32"))
        host = Batch(
            torch.from_numpy(numbers),
            torch.from_numpy(codes.astype("int32")),
            torch.from_numpy(target),
            weights,
        )
        self.count = len(numbers)
        self.target, self.weight = target, weight
        self._device = device
        size = sum(tensor.numel() * tensor.element_size() for tensor in host.tensors())
        self.resident = where == "resident" or (where == "auto" and _fits(size, device))
        self._rows = _map(host, lambda tensor: tensor.to(device)) if self.resident else host

    def batches(self, seed: int, size: int, *, rank: int, world: int, first: int) -> Iterator[Batch]:
        """This rank's batches of one epoch from batch `first`, in the order that `seed` draws. What is left over at
        the end of an epoch, less than a batch, is another rest in each."""
        place = self._device if self.resident else torch.device("cpu")
        generator = torch.Generator(device=place)
        generator.manual_seed(seed)
        order = torch.randperm(self.count, generator=generator, device=place)
        starts = [(number * world + rank) * size for number in range(first, self.count // (size * world))]
        chosen = (order[start : start + size] for start in starts)
        if self.resident:
            yield from (self._take(indices) for indices in chosen)
        else:
            yield from self._streamed(list(chosen))

    def in_order(self, size: int) -> Iterator[Batch]:
        """All rows once, for validation."""
        for start in range(0, self.count, size):
            yield _map(self._rows, lambda tensor, at=start: tensor[at : at + size].to(self._device))

    def _take(self, indices: torch.Tensor) -> Batch:
        return _map(self._rows, lambda tensor: tensor.index_select(0, indices))

    def _streamed(self, chosen: list[torch.Tensor]) -> Iterator[Batch]:
        ready: queue.Queue[tuple[Batch, torch.cuda.Event | None] | BaseException | None]
        ready = queue.Queue(maxsize=AHEAD)
        stopped = threading.Event()
        thread = threading.Thread(target=self._gather, args=(chosen, ready, stopped), daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                batch, copied = item
                if copied is not None:
                    torch.cuda.current_stream().wait_event(copied)
                    for tensor in batch.tensors():
                        tensor.record_stream(torch.cuda.current_stream())
                yield batch
        finally:
            stopped.set()
            while thread.is_alive():
                try:
                    ready.get(timeout=0.05)
                except queue.Empty:
                    continue

    def _gather(self, chosen: list[torch.Tensor], ready: queue.Queue, stopped: threading.Event) -> None:  # type: ignore[type-arg]
        try:
            stream = torch.cuda.Stream() if self._device.type == "cuda" else None
            for indices in chosen:
                if stopped.is_set():
                    return
                if stream is None:
                    ready.put((self._take(indices), None))
                    continue
                pinned = _map(self._rows, lambda tensor, at=indices: _pinned(tensor, at))
                with torch.cuda.stream(stream):
                    moved = _map(pinned, lambda tensor: tensor.to(self._device, non_blocking=True))
                    copied = torch.cuda.Event()
                    copied.record(stream)
                ready.put((moved, copied))
            ready.put(None)
        except BaseException as failure:  # noqa: BLE001 - raised again where the batches are used
            ready.put(failure)


def _pinned(tensor: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    held = torch.empty((len(indices), *tensor.shape[1:]), dtype=tensor.dtype, pin_memory=True)
    return torch.index_select(tensor, 0, indices, out=held)


def _map(batch: Batch, change) -> Batch:  # type: ignore[no-untyped-def]
    weight = None if batch.weight is None else change(batch.weight)
    return Batch(change(batch.numbers), change(batch.codes), change(batch.target), weight)


def _fits(size: int, device: torch.device) -> bool:
    return device.type != "cuda" or bool(size < SHARE * torch.cuda.mem_get_info(device)[0])
