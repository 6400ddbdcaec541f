"""Which device a job gets, with an nvidia-smi that says what the test wants."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from jobs.trainers.base import trainer_named
from jobs.trainers.devices import Gpu, NoDevice, asked_gpus, gpus, place, placed
from tests.unit.trainers.jobs import job_in

BIG = Gpu(0, "GPU-big", "NVIDIA H100", 81_000, 1_000, 0.05)
FULL = Gpu(1, "GPU-full", "NVIDIA H100", 81_000, 80_700, 0.99)
NETWORK = trainer_named("tabular_network")


def test_gpus_are_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho '0, GPU-a1, NVIDIA H100, 81559, 1024, 37'\necho '1, GPU-b2, Tesla T4, 15360, 0, [N/A]'\n"
    )
    program.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = gpus(str(program))
    assert [(gpu.model, gpu.free_mb, gpu.utilisation) for gpu in found] == [
        ("NVIDIA H100", 80535, 0.37), ("Tesla T4", 15360, None),
    ]  # fmt: skip
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b2")
    assert [gpu.index for gpu in gpus(str(program))] == [1]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert gpus(str(program)) == []
    assert gpus("no-such-nvidia-smi") == []


def test_a_driver_that_does_not_answer_is_not_told_as_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Failed to initialize NVML: Driver mismatch'\nexit 18\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    job = job_in(tmp_path, "tabular_network", device="gpu")
    said = r"nvidia-smi ended with exit code 18, Failed to initialize NVML: Driver mismatch\."
    with pytest.raises(NoDevice, match=said), placed(job, NETWORK, rows=1):
        pass
    monkeypatch.setattr("jobs.trainers.devices.TIMEOUT_S", 0.1)
    program.write_text("#!/bin/sh\nexec sleep 5\n")
    assert asked_gpus()[1].endswith("nvidia-smi did not answer within 0.1 s")
    program.write_text("#!/bin/sh\necho '0, GPU-a1, NVIDIA H100, 81559, 1024, 37'\n")
    monkeypatch.setattr("jobs.trainers.devices.TIMEOUT_S", 20.0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert asked_gpus() == ([], "CUDA_VISIBLE_DEVICES=7 leaves this worker none of the 1 GPUs of this host")


def test_a_job_gets_the_device_with_room(tmp_path: Path) -> None:
    job = job_in(tmp_path, "tabular_network", device="gpu")
    placement = place(job, NETWORK, rows=1000, found=[FULL, BIG])
    assert placement.environment == {"CUDA_VISIBLE_DEVICES": "GPU-big"}
    assert place(job_in(tmp_path, "tabular_network"), NETWORK, rows=1, found=[BIG]).environment == {
        "CUDA_VISIBLE_DEVICES": ""
    }


def test_a_job_that_cannot_fit_is_refused_in_words(tmp_path: Path) -> None:
    job = job_in(tmp_path, "tabular_network", device="gpu", parameters={"rows_on": "resident"})
    with pytest.raises(NoDevice) as refused:
        place(job, NETWORK, rows=10_000_000_000, found=[BIG])
    assert "the job needs a GPU with about" in refused.value.message
    assert "GPU 0 (NVIDIA H100): 80,000 of 81,000 MB free, 5% busy" in refused.value.message
    assert "allow the CPU with device gpu-if-present" in refused.value.message
    with pytest.raises(NoDevice, match="there is no GPU on this host"):
        place(job, NETWORK, rows=1, found=[])


def test_the_cpu_is_used_only_where_the_job_allows_it(tmp_path: Path) -> None:
    job = job_in(tmp_path, "tabular_network", device="gpu-if-present")
    placement = place(job, NETWORK, rows=1, found=[])
    assert placement.gpus == ()
    assert placement.why == "on the CPU: there is no GPU on this host (nvidia-smi lists none)"


def test_one_run_a_device(tmp_path: Path) -> None:
    trainer, job = trainer_named("xgboost_boosting"), job_in(tmp_path, "xgboost_boosting", device="gpu")
    with (
        placed(job, trainer, rows=1, found=[BIG], folder=tmp_path),
        pytest.raises(NoDevice, match="another training run of this host uses GPU 0"),
        placed(job, trainer, rows=1, found=[BIG], folder=tmp_path),
    ):
        pass
    with placed(job, trainer, rows=1, found=[BIG], folder=tmp_path) as again:
        assert again.gpus == (BIG,)


def test_a_run_beside_another_one_gets_the_device_that_is_left(tmp_path: Path) -> None:
    trainer, job = trainer_named("xgboost_boosting"), job_in(tmp_path, "xgboost_boosting", device="gpu")
    other = Gpu(1, "GPU-other", "NVIDIA H100", 81_000, 2_000, 0.0)
    either = job_in(tmp_path, "xgboost_boosting", device="gpu-if-present")
    both: Any = {"rows": 1, "found": [BIG, other], "folder": tmp_path}
    with placed(job, trainer, **both) as first, placed(job, trainer, **both) as second:
        assert (first.gpus, second.gpus) == ((BIG,), (other,))
        with placed(either, trainer, **both) as third:
            assert third.gpus == ()
            assert third.why.startswith(
                "on the CPU: another training run of this host uses GPU 0 (NVIDIA H100)"
            )
