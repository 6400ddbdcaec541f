"""The one key of the console: `/`, or Ctrl+K and ⌘K, puts the cursor into the search field of the page.

It is a few lines of script in the page around Streamlit's pages (`app.frame`), let in by their hash (`app.headers`).
Where one writes, `/` is a slash. The two others work there as well, and need no key of a single character, which people
who speak to their computer press without meaning to (WCAG 2.1.4).
"""

from __future__ import annotations

from typing import Final

FIELD: Final = ".st-key-search-everything input"
SEARCH_KEYS: Final = (
    'addEventListener("keydown",function(e){'
    'var t=e.target,k=(e.ctrlKey||e.metaKey)&&!e.altKey&&!e.shiftKey&&e.key.toLowerCase()==="k",'
    's=e.key==="/"&&!e.ctrlKey&&!e.metaKey&&!e.altKey&&'
    "!(t.isContentEditable||/^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName));"
    f'if(!k&&!s)return;var f=document.querySelector("{FIELD}");'
    "if(f){e.preventDefault();e.stopPropagation();f.focus();f.select()}},true)"
)
