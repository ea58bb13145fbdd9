"""The files of a new workspace, with the product's name left open."""
