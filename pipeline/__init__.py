"""Scripts behind the Makefile: building the site, grading, and experiments that leave records."""
