"""Scripts that obtain, verify and synthesise data sets, and that score predictions."""
