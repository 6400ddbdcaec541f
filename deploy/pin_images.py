"""Pin the images of others by their digests: standard library only.

    python3 deploy/pin_images.py             ask each registry, and write `name:tag@sha256:…` in place of `name:tag`
    python3 deploy/pin_images.py --check     ask nobody; exit 1 and name what has no digest

The digest is that of the index over all platforms, so the same line serves amd64 and arm64. Tags stay beside it, for
people, and to ask again: running it later moves a digest to what its tag names then. Our own images have none: they are
built here.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILES = ("Dockerfile", "docker-compose.yml", "deploy/production/compose.yml")
OURS = ("warrant", "warrant-gpu", "warrant-mlflow")
LINE = re.compile(
    r"^(?P<before>FROM |\s*image: )(?P<name>[^\s:@]+(?::\d+/[^\s:@]+)?):(?P<tag>[^\s@]+)"
    r"(?P<digest>@sha256:[0-9a-f]{64})?",
    re.MULTILINE,
)
ACCEPTED = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in ("oci.image.index.v1", "docker.distribution.manifest.list.v2", "oci.image.manifest.v1",
                 "docker.distribution.manifest.v2")
)  # fmt: skip
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TIMEOUT_S = 30


class NoDigest(RuntimeError):
    """A registry that cannot be asked, or does not say."""


def say(text: str, *, error: bool = False) -> None:
    (sys.stderr if error else sys.stdout).write(f"{text}\n")


def digest_of(name: str, tag: str) -> str:
    """What the image's registry says that the tag names now. Raises `NoDigest`."""
    registry, path = address_of(name)
    asked = urllib.request.Request(  # noqa: S310 - https, or this host
        f"{registry}/v2/{path}/manifests/{tag}", method="HEAD", headers={"Accept": ACCEPTED}
    )
    try:
        try:
            answer = _open(asked)
        except urllib.error.HTTPError as refused:
            if refused.code != 401:
                raise
            token = _token(refused.headers.get("WWW-Authenticate", ""))
            asked.add_unredirected_header("Authorization", f"Bearer {token}")
            answer = _open(asked)
    except (OSError, ValueError, KeyError) as error:
        raise NoDigest(f"{registry} does not tell what {name}:{tag} is: {error}") from error
    found = str(answer.headers.get("Docker-Content-Digest", ""))
    if not DIGEST.fullmatch(found):
        raise NoDigest(f"{registry} gave no digest of {name}:{tag}")
    return found


def address_of(name: str) -> tuple[str, str]:
    """The registry of an image, and its path there: Docker Hub's where the name has no host."""
    host, _, rest = name.partition("/")
    if not rest or ("." not in host and ":" not in host and host != "localhost"):
        return "https://registry-1.docker.io", name if rest else f"library/{name}"
    here = host.split(":")[0] in ("localhost", "127.0.0.1")
    return f"{'http' if here else 'https'}://{host}", rest


def _open(asked: urllib.request.Request | str) -> Any:
    return urllib.request.urlopen(asked, timeout=TIMEOUT_S)  # noqa: S310 - https, or this host


def _token(challenge: str) -> str:
    """A token for whoever asks nothing but to read, as the registry's challenge says where."""
    told = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    query = urllib.parse.urlencode({key: told[key] for key in ("service", "scope") if key in told})
    with _open(f"{told['realm']}?{query}") as answer:
        given = json.loads(answer.read())
    return str(given.get("token") or given["access_token"])


def pinned(text: str, ask: Callable[[str, str], str]) -> str:
    """The file with a digest for each image of others."""

    def pin(found: re.Match[str]) -> str:
        if found["name"] in OURS:
            return found[0]
        return f"{found['before']}{found['name']}:{found['tag']}@{ask(found['name'], found['tag'])}"

    return LINE.sub(pin, text)


def without_digest(text: str) -> list[str]:
    """Images of others that a tag alone names."""
    return [
        f"{one['name']}:{one['tag']}"
        for one in LINE.finditer(text)
        if one["name"] not in OURS and not one["digest"]
    ]


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    files = [root / name for name in FILES]
    if list(arguments) == ["--check"]:
        missing = [
            f"{path.relative_to(root)}: {name}" for path in files for name in without_digest(path.read_text())
        ]
        for one in missing:
            say(one)
        say(f"{len(missing)} images have no digest")
        return 1 if missing else 0
    known: dict[tuple[str, str], str] = {}

    def ask(name: str, tag: str) -> str:
        if (name, tag) not in known:
            known[name, tag] = digest_of(name, tag)
            say(f"{name}:{tag}  {known[name, tag]}")
        return known[name, tag]

    try:
        written = [(path, pinned(path.read_text(), ask)) for path in files]
    except NoDigest as error:
        say(f"nothing was written: {error}", error=True)
        return 1
    for path, text in written:
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
