"""Student versions of the chapters, and grading of the submissions."""
