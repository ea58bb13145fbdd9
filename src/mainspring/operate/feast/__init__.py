"""Definitions of a Feast repository, read by Feast itself and written as those of a product file."""

from mainspring.operate.feast.definitions import Definitions
from mainspring.operate.feast.read import FeastUnreadable, read_definitions
from mainspring.operate.feast.write import Imported, Left, product_file

__all__ = ["Definitions", "FeastUnreadable", "Imported", "Left", "product_file", "read_definitions"]
