"""Forgetting a row: what was made with it is found, deleted, made again without it, and remembered without the data."""
