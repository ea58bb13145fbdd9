"""Stores: where state lives, in a database, in tables, in blobs and in log segments."""
