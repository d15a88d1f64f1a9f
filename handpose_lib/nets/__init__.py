"""Building blocks that the papers' networks share; they know no hands."""
