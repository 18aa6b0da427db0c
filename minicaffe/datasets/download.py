"""Fetching one file from the first of several mirrors that has it, resumable and verified."""

import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from ..errors import DataError, FileError
from ..files import reason

TIMEOUT = 10            # seconds to connect, and to wait for the next bytes
TRIES = 4               # per mirror, as long as each try gets on
CHUNK = 1 << 18


class Interrupted(DataError):
    """A transfer ended early; what has come is kept."""


def fetch(urls, path, verify):
    """Download to `path` from the first of `urls` whose file passes.

    verify(file) returns None, or in words what is wrong with a file. Bytes are collected in
    PATH.part, which outlives an interruption and is continued by the next call; it takes the name
    `path` when it has passed. Raises DataError with every mirror's reason when none is left.
    """
    part, problems = Path(f"{path}.part"), []
    for url in urls:
        for _ in range(TRIES):
            had = part.stat().st_size if part.exists() else 0
            try:
                _transfer(url, part, had)
            except Interrupted as error:
                problem = str(error)
                if part.stat().st_size > had:
                    continue
                break
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem = _in_words(error)
                break
            problem = verify(part)
            if problem is None:
                os.replace(part, path)
                return
            part.unlink()
            if not had:                         # else the old beginning may be to blame: once more
                break
        problems.append(f"{url}: {problem}")
    raise DataError(f"{Path(path).name} can't be downloaded ({'; '.join(problems)})")


def _transfer(url, part, had):
    """Append to `part`, which has `had` bytes of it, the rest of the file at `url`."""
    headers = {"User-Agent": "minicaffe"}
    if had:
        headers["Range"] = f"bytes={had}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if had and error.code == 416:           # nothing after these bytes: it is all there
            return
        raise
    with response:
        begins = re.match(rf"bytes {had}-", response.headers.get("Content-Range", ""))
        if not (had and response.status == 206 and begins):
            had = 0                             # the server sends the whole file
        length = response.headers.get("Content-Length")
        total = had + int(length) if length else None
        _save(response, part, had, total, url)


def _save(response, part, had, total, url):
    """Write the response's bytes after the first `had` of `part`, with a progress bar."""
    try:
        file = open(part, "ab" if had else "wb")
    except OSError as error:
        raise FileError(f"{part}: can't be written: {reason(error)}") from error
    name = url.rpartition("/")[2]
    with file, tqdm(total=total, initial=had, unit="B", unit_scale=True, desc=name) as bar:
        while True:
            try:
                chunk = response.read(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise Interrupted(_in_words(error)) from error
            if not chunk:
                break
            try:
                file.write(chunk)
            except OSError as error:
                raise FileError(f"{part}: can't be written: {reason(error)}") from error
            bar.update(len(chunk))
        if total is not None and file.tell() < total:
            raise Interrupted(f"the connection ended after {file.tell()} of {total} bytes")


def _in_words(error):
    """A network error in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    inner = getattr(error, "reason", error)
    return reason(inner) if isinstance(inner, OSError) else str(inner) or type(inner).__name__
