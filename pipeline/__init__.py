"""Scripts that build the site, grade assignments, and run experiments."""
