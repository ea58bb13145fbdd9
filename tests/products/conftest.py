"""Product files are read by workers, from the folder that they lie in."""

from __future__ import annotations

collect_ignore = ["forms"]
