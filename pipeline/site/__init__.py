"""Executing the chapters, building the site, checking its pages, printing the book."""
