"""What a tool's name of a picture may mean: addresses, uploads, encoded characters."""

from __future__ import annotations

import re
import urllib.parse

_UPLOAD = re.compile(r"^(.*/)?[0-9a-f]{8}-(?=[^/]+$)")  # Label Studio's: 1a2b3c4d-name.jpg


def alternatives(text: str) -> list[str]:
    """`text` as it is, then without its encoding, its address, and the mark of an upload.

    Label Studio writes /data/upload/1/1a2b3c4d-my%20cup.jpg for an upload of "my cup.jpg" and
    /data/local-files/?d=folder/a.jpg for a file of its own disk.
    """
    found = [text]
    query = re.search(r"[?&]d=([^&]+)", text)
    if query:
        found.append(query[1])
    elif "?" in text and "://" in text:
        found.append(text.partition("?")[0])
    found += [urllib.parse.unquote(name) for name in found]
    found += [_UPLOAD.sub(r"\1", name) for name in found]
    return list(dict.fromkeys(found))
