"""Student versions of chapters, and the grading of what comes back."""
