"""`warrant retrain`: asking for a retraining and following its run, through the REST API and under its rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, become, refuse_plainly
from backend.commands.output import say, write_json
from backend.errors import BadInput

commands = typer.Typer(no_args_is_help=True, help="Retraining: preview, ask, follow, cancel, begin again.")

Trainer = Annotated[str, typer.Option(help="what trains, such as sklearn_boosting")]
Parameters = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=VALUE, a parameter of the trainer; as often as needed")
]
ParameterFile = Annotated[Path | None, typer.Option("--parameters", help="a YAML file of parameters")]
SearchFile = Annotated[
    Path | None, typer.Option("--search", help="a YAML file: space, trials, minutes, metric, pruner")
]
AsOf = Annotated[str | None, typer.Option(help="nothing that became known later is used; else now")]
Window = Annotated[str, typer.Option(help="training rows are of so long before that, such as 90d")]
Device = Annotated[str, typer.Option(help="cpu or gpu")]
CpuAllowed = Annotated[bool, typer.Option(help="device gpu: train on the processor where no GPU fits")]
Hours = Annotated[float, typer.Option(help="training ends after so many hours")]
Memory = Annotated[int, typer.Option(help="MiB that the trainer may hold")]
Labelled = Annotated[float, typer.Option(help="share of rows that must have a label")]
Environment = Annotated[str | None, typer.Option(help="where; else the one of the console")]
AlertId = Annotated[int | None, typer.Option("--alert", help="the number of the alert that it answers")]
Run = Annotated[str, typer.Argument(help="the run, such as retrain-7")]


@commands.command("preview")
@refuse_plainly
def preview(
    model: str, trainer: Trainer, parameters: Parameters = None, parameter_file: ParameterFile = None,
    as_of: AsOf = None, window: Window = "365d", device: Device = "cpu", cpu_allowed: CpuAllowed = False,
    hours: Hours = 1.0, memory_mb: Memory = 4096, least_labelled: Labelled = 0.0, environment: Environment = None,
    alert: AlertId = None, search: SearchFile = None, token: Token = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Show what would be trained, what it costs at most, and whether it waits for a decision."""
    from backend.commands.client import Api

    found = Api(token).post(
        "/retraining/preview",
        _wanted(model, trainer, parameters, parameter_file, as_of, window, device, cpu_allowed, hours, memory_mb,
                least_labelled, environment, alert, search),
    )  # fmt: skip
    if as_json:
        write_json(found)
        return
    say(found["summary"])
    for line in found["plan_words"]:
        say(f"  {line}")
    say(
        "it waits for a decision: " + "; ".join(found["outside"])
        if found["needs_decision"]
        else "it goes ahead at once"
    )
    say(f"digest {found['digest']}")


@commands.command("ask")
@refuse_plainly
def ask(
    model: str, trainer: Trainer, reason: Annotated[str, typer.Option(help="why; others will read it")],
    parameters: Parameters = None, parameter_file: ParameterFile = None, as_of: AsOf = None, window: Window = "365d",
    device: Device = "cpu", cpu_allowed: CpuAllowed = False, hours: Hours = 1.0, memory_mb: Memory = 4096,
    least_labelled: Labelled = 0.0, environment: Environment = None, alert: AlertId = None,
    search: SearchFile = None,
    digest: Annotated[str | None, typer.Option(help="of the preview you looked at, with its --as-of")] = None,
    token: Token = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Ask for a retraining; it goes ahead within the envelope of its rule, and waits for a decision otherwise."""
    from backend.commands.client import Api

    wanted = _wanted(model, trainer, parameters, parameter_file, as_of, window, device, cpu_allowed, hours, memory_mb,
                     least_labelled, environment, alert, search)  # fmt: skip
    found = Api(token).post("/retraining", {**wanted, "reason": reason, "digest": digest})
    if as_json:
        write_json(found)
        return
    say(f"{found['ref']}: {found['summary']}")
    run = f"retrain-{found['id']}"
    say(f"{found['state_words']}; its run is {run}" if found["state"] != "waiting" else found["state_words"])


@commands.command("list")
@refuse_plainly
def list_of_runs(model: str | None = None, token: Token = "", as_json: Json = False) -> None:
    """The newest runs, of one model where it is named."""
    from backend.commands.client import Api

    found = Api(token).get("/retraining", **({"model": model} if model else {}))
    if as_json:
        write_json(found)
        return
    for run in found["runs"]:
        say(f"{run['id']:<14} {run['model']:<20} {run['state_words']:<18} {run['step'] or run['outcome']}")
    if not found["runs"]:
        say("nothing was retrained yet; `warrant retrain ask MODEL` asks for it")


@commands.command("show")
@refuse_plainly
def show(run_id: Run, log: bool = False, token: Token = "", as_json: Json = False) -> None:
    """One run, step by step, with what it cost; `--log` prints its lines. Exit 1 where it failed."""
    from backend.commands.client import Api

    found = Api(token).get(f"/retraining/{run_id}")
    if as_json:
        write_json(found)
    else:
        for line in _lines(found, log=log):
            say(line)
    if found["state"] == "failed":
        raise typer.Exit(1)


@commands.command("cancel")
@refuse_plainly
def cancel(
    run_id: Run,
    reason: Annotated[str, typer.Option(help="why")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Stop a run; a trainer that runs ends within seconds."""
    _act(run_id, "cancellation", {"reason": reason}, token, as_json=as_json)


@commands.command("resume")
@refuse_plainly
def resume(run_id: Run, token: Token = "", as_json: Json = False) -> None:
    """Begin a failed run again where it failed."""
    _act(run_id, "resumption", {}, token, as_json=as_json)


@commands.command("manifest")
def manifest(
    job: Annotated[Path, typer.Argument(help="a job file of a trainer, where the pods see it")],
    image: Annotated[str, typer.Option(help="an image of a training worker")],
    claim: Annotated[str, typer.Option(help="the PersistentVolumeClaim that holds the job's files")],
    mount: Annotated[Path, typer.Option(help="where the pods mount it, as the job file names it")],
    hosts: Annotated[int, typer.Option(help="pods that train together; several only for PyTorch")] = 1,
    cpu: Annotated[str, typer.Option(help="processors of a pod")] = "4",
    namespace: Annotated[str | None, typer.Option(help="else the one of whoever applies it")] = None,
) -> None:
    """Print a training job as a Kubernetes Job with its GPUs, checked without a cluster, for `kubectl apply -f -`."""
    place = ("--namespace", namespace) if namespace else ()
    become(
        "jobs.trainers.kubernetes_job", str(job), "--image", image, "--claim", claim, "--mount", str(mount),
        "--hosts", str(hosts), "--cpu", cpu, *place,
    )  # fmt: skip


def _act(run_id: str, what: str, body: dict[str, Any], token: str, *, as_json: bool) -> None:
    from backend.commands.client import Api

    found = Api(token).post(f"/retraining/{run_id}/{what}", body)
    if as_json:
        write_json(found)
    else:
        say(f"{found['id']}: {found['state_words']}")


def _lines(found: dict[str, Any], *, log: bool) -> list[str]:
    told = [f"{found['id']}: {found['model']}, {found['state_words']}"]
    for step in found["steps"]:
        took = f"{step['seconds']:.1f} s" if step["state"] != "waiting" else ""
        told.append(f"  {step['title']:<36} {step['state_words']:<10} {took}")
        told += [f"      {line}" for line in (step["log"] if log else ())]
        told += _trials(step["result"].get("search") or {})
    cost = found["cost"]
    told.append(f"  {cost['seconds']:.1f} s in all, {cost['gpu_seconds']:.1f} s of a GPU")
    if found["outcome"]:
        told.append(found["outcome"])
    return told


def _trials(found: dict[str, Any]) -> list[str]:
    """The trials of a search, one a line; the one that is taken is marked."""
    return [
        f"      trial {one['number']:<3} {one['state']:<9} {_figure(one['value']):<10}"
        + ("taken " if found["ended"] and one["number"] == found["chosen"] else "")
        + ", ".join(f"{name}={_figure(value)}" for name, value in sorted(one["parameters"].items()))
        for one in found.get("trials", ())
    ]


def _figure(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else "" if value is None else str(value)


def _wanted(
    model: str, trainer: str, given: list[str] | None, file: Path | None, as_of: str | None, window: str, device: str,
    cpu_allowed: bool, hours: float, memory_mb: int, least_labelled: float, environment: str | None, alert: int | None,
    search: Path | None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "model": model, "trainer": trainer, "parameters": _parameters(given or [], file), "as_of": as_of,
        "window": window, "device": device, "cpu_allowed": cpu_allowed, "hours": hours, "memory_mb": memory_mb,
        "least_labelled": least_labelled, "environment": environment, "alert_id": alert,
        "search": _mapping_in(search, "a search") if search is not None else None,
    }  # fmt: skip


def _mapping_in(file: Path, what: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(file.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise BadInput(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(found, dict):
        raise BadInput(f"{file}: {what} is a mapping of name to value")
    return found


def _parameters(given: list[str], file: Path | None) -> dict[str, Any]:
    """From a YAML file, then single ones over it."""
    import yaml

    single: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise BadInput(f"--set {one}: write NAME=VALUE")
        single[name] = yaml.safe_load(value)
    return {**(_mapping_in(file, "parameters") if file is not None else {}), **single}
