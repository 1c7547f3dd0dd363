"""Takes apart the answer of `POST /infer`: facts as JSON, and a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .errors import ServerError

_NAME = re.compile(rb'name="([^"]*)"')
_FILENAME = re.compile(rb'filename="([^"]*)"')
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')


def split_answer(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes, str]:
    """Return the facts, the file and the file's name; raises `ServerError` if the file is not in it."""
    found = _BOUNDARY.search(content_type)
    facts: dict[str, Any] = {}
    file, filename = b"", ""
    if found:
        for part in body.split(b"--" + found.group(1).encode("latin-1")):
            head, blank, content = part.partition(b"\r\n\r\n")
            name, stored_as = _NAME.search(head), _FILENAME.search(head)
            if not blank or not name:
                continue
            content = content[:-2] if content.endswith(b"\r\n") else content
            if stored_as:
                file, filename = content, Path(stored_as.group(1).decode("utf-8", "replace")).name
            elif name.group(1) == b"params":
                facts = json.loads(content)
    if not filename:
        raise ServerError(
            "The server's answer holds no segmentation; look into the server's log.", content_type
        )
    return facts, file, filename
