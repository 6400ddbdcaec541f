"""`warrant card`: model cards, through the REST API; `check` looks at a file and asks nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer(no_args_is_help=True, help="Model cards: show, check, export, import.")
Version = Annotated[int, typer.Argument(help="of the model")]
Number = Annotated[int | None, typer.Option("--number", help="of the card; left out: the one that holds")]
File = Annotated[Path, typer.Argument(help="the card, Markdown with front matter")]


@commands.command("show")
@refuse_plainly
def card_show(
    model: str, version: Version, number: Number = None, token: Token = "", as_json: Json = False
) -> None:
    """Show a card's state, how complete it is, and what speaks against it."""
    from backend.commands.client import Api

    found = Api(token).get(f"/models/{model}/versions/{version}/card", number=number)
    if as_json:
        write_json(found)
        return
    which = f"card version {found['number']}" if found["number"] else "card file"
    say(
        f"{model} version {version}: {which}, {found['state'].replace('_', ' ')}, {found['completeness']['percent']} %"
    )
    for one in (*found["problems"], *(each["text"] for each in found["contradictions"])):
        say(f"  ! {one}")
    for lack in found["completeness"]["lacks"]:
        say(f"  - {_placed(lack)} ({lack['points']:g} points)")


@commands.command("check")
@refuse_plainly
def card_check(
    file: File,
    minimum: Annotated[float, typer.Option(min=0, max=1, help="lowest completeness that passes")] = 0.0,
    as_json: Json = False,
) -> None:
    """Check a card's front matter, headings and model-index, offline. Exit 1: it is no valid or no complete card."""
    from backend.cards.completeness import score_card
    from backend.cards.document import parse_card
    from backend.cards.sections import missing_parts

    document = parse_card(_read(file))
    score = score_card(document, None)
    errors = [{"line": one.line, "reason": one.reason} for one in document.errors]
    if as_json:
        write_json({
            "file": str(file), "valid": not errors, "digest": document.digest, "errors": errors,
            "missing": [{"line": one.line, "reason": one.reason} for one in missing_parts(document)],
            "completeness": score.as_dict(),
        })  # fmt: skip
    else:
        for one in errors:
            say(f"{file}: {_placed(one)}")
        for lack in score.lacks:
            say(f"{file}: missing: {_placed(lack.as_dict())}")
        say(f"{file}: {'no valid card' if errors else 'valid'}, {score.percent} % complete")
    if errors or score.score < minimum:
        raise typer.Exit(1)


@commands.command("export")
@refuse_plainly
def card_export(
    model: str,
    version: Version,
    form: Annotated[str, typer.Option(help="source, markdown, huggingface, html or pdf")] = "markdown",
    out: Annotated[Path | None, typer.Option(help="the file to write; left out: text goes to stdout")] = None,
    number: Number = None,
    token: Token = "",
) -> None:
    """Write a card as a file; `source` is what belongs in git."""
    from backend.commands.client import Api
    from backend.errors import BadInput

    if out is None and form == "pdf":
        raise BadInput("a PDF goes into a file: add --out FILE")
    body = Api(token).get_bytes(f"/models/{model}/versions/{version}/card/export", form=form, number=number)
    if out is None:
        say(body.decode().rstrip("\n"))
        return
    try:
        out.write_bytes(body)
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror}") from error
    say(f"{out}: {len(body):,} bytes")


@commands.command("import")
@refuse_plainly
def card_import(
    model: str,
    version: Version,
    file: Annotated[Path | None, typer.Argument(help="the card; not needed with --from mlflow")] = None,
    source: Annotated[str, typer.Option("--from", help="file, huggingface or mlflow")] = "file",
    on: Annotated[int | None, typer.Option(help="the newest card version, once you have merged it")] = None,
    why: Annotated[str, typer.Option(help="why; others will read it")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Make the next version of a card from a file, if the file changed; or from an imported MLflow version."""
    from backend.commands.client import Api
    from backend.errors import BadInput

    if file is None and source != "mlflow":
        raise BadInput("name the file that holds the card")
    document: dict[str, Any] = {"source": source, "based_on": on, "why": why}
    if file is not None:
        document |= {"text": _read(file), "source_name": str(file)}
    made = Api(token).post(f"/models/{model}/versions/{version}/card/imports", document)
    if as_json:
        write_json(made)
    else:
        say(f"{model} version {version}: {made['note']}")


def _read(file: Path) -> str:
    from backend.errors import BadInput

    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8 text, at byte {error.start}") from error


def _placed(one: dict[str, Any]) -> str:
    return f"line {one['line']}: {one['reason']}" if one["line"] else str(one["reason"])
