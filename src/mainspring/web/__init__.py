"""The pages: server-rendered, without a script they work, with ours they stay current."""

from mainspring.web.pages import pages

__all__ = ["pages"]
