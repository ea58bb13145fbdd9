"""A process that tells the webhooks of a workspace what is due."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mainspring.settings import Settings
from mainspring.sinks.news import tell_news
from mainspring.workspace import open_workspace

if __name__ == "__main__":
    root = Path(sys.argv[1])
    with open_workspace(root, replace(Settings.load(root, {}), webhook_hosts="*")) as workspace:
        tell_news(workspace, datetime.now(UTC))
