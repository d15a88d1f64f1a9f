"""Runs, their records, tables made from records, and the trained networks of the book."""
