"""What people, models and systems outside wrote, where Markdown is drawn: as the text that it is, never as markup."""

from __future__ import annotations

import re
from typing import Final

_CODE: Final = re.compile(r"(`[^`\n]+`)")
# What begins emphasis, links, formulas, struck text and tables anywhere; the others do so by what is around them.
_ANYWHERE: Final = re.compile(r"[\\`*\[\]$~|]")
_UNDERSCORE: Final = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # within a word it says nothing
_TAG: Final = re.compile(r"<(?=[a-z/!?])", re.IGNORECASE)
_ENTITY: Final = re.compile(r"&(?=#?\w+;)")
_LIST_NUMBER: Final = re.compile(r"(?m)^(\d+)([.)])")
_BLOCK_MARK: Final = re.compile(r"(?m)^([#>+=-])")
_SHORTCODE: Final = re.compile(
    r":(?=[\w+-]*[a-z][\w+-]*[:/\\])", re.IGNORECASE
)  # :smile:, :red\[, :material/
_INDENT: Final = re.compile(r"(?m)^[ \t]+")
_JOINER: Final = "\u2060"  # of no width: nothing else keeps a shortcode from being taken for one


def plain(text: object) -> str:
    """A text for Markdown, labels and notices, in which nothing is bold, a link, a picture, a formula or an icon. What
    stands between backticks is code, as in all our texts. None is empty."""
    parts = _CODE.split("" if text is None else str(text))
    return "".join(part if index % 2 else _escaped(part) for index, part in enumerate(parts))


def _escaped(text: str) -> str:
    text = _ANYWHERE.sub(r"\\\g<0>", _INDENT.sub("", text) if "\n" in text else text)
    text = _SHORTCODE.sub(":" + _JOINER, _UNDERSCORE.sub(r"\\_", text))
    text = _TAG.sub("&lt;", _ENTITY.sub("&amp;", text))
    return _BLOCK_MARK.sub(r"\\\1", _LIST_NUMBER.sub(r"\1\\\2", text))
