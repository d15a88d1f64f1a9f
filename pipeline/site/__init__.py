"""Execution of the chapters; building, checking and printing of the site."""
