"""Age of what this process has imported: a fork has the imports of the process that it was forked from."""

from __future__ import annotations

server_start: int | None = None  # ns since the epoch, before the first import of a fork server; else None
