"""Who calls the champion today can call the candidate tomorrow: same features, same kinds, and it takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.governance.gates import Asked, Finding, Gate, Parameters, register
from backend.registry.tables import Version


class Settings(Parameters):
    pass


def check(asked: Asked, _: Settings) -> Finding:
    spec = asked.spec
    after = _kinds(asked.after)
    before = _kinds(asked.before) if asked.before is not None else None
    wanted = {column.name: column.kind for column in spec.features}
    bad = [
        f"it was not trained with {name}, which the model's spec declares"
        for name in wanted
        if name not in after
    ]
    bad += [
        f"{name} is {after[name]} in its reference and {kind} in the model's spec"
        for name, kind in wanted.items()
        if name in after and after[name] not in (kind, "unknown")
    ]
    if before is not None and asked.before is not None:
        bad += [
            f"{name} was {before[name]} for version {asked.before.version} and is {after[name]} for it"
            for name in wanted
            if name in before and name in after and "unknown" not in (before[name], after[name])
            and before[name] != after[name]
        ]  # fmt: skip
    if asked.answers is False:
        bad.append(asked.answers_not)
    details = {"features": wanted, "candidate": {name: after[name] for name in wanted if name in after}}
    if bad:
        return Finding("fail", "; ".join(dict.fromkeys(bad)), details=details)
    if asked.answers is None:
        why = asked.answers_not or "whether it takes rows of the model's spec was not tried"
        return Finding(
            "inconclusive", f"its reference has every feature of the spec, but {why}", details=details
        )
    return Finding(
        "pass",
        f"it takes the {len(wanted)} feature{'s' if len(wanted) != 1 else ''} of the model's spec, in "
        f"{'their kinds' if len(wanted) != 1 else 'its kind'}",
        details=details,
    )


def _kinds(version: Version) -> dict[str, str]:
    """numeric, categorical or unknown of each column of a version's reference data. `FileNotFoundError` without it."""
    import pyarrow.parquet as pq

    return {field.name: _kind(field.type) for field in pq.read_schema(Path(version.reference_path))}


def _kind(type_: Any) -> str:
    import pyarrow.types as types

    if types.is_dictionary(type_):
        type_ = type_.value_type
    if types.is_boolean(type_) or types.is_string(type_) or types.is_large_string(type_):
        return "categorical"
    if types.is_floating(type_) or types.is_decimal(type_):
        return "numeric"
    return "unknown"  # whole numbers may be either, and a column without a value has no type


GATE = register(
    Gate(
        "signature_compatible",
        "Signature compatible",
        "The candidate has every feature of the model's spec in its kind, as the champion has, and its artefact "
        "answers rows of the spec.",
        Settings,
        check,
        needs="files",
    )
)
