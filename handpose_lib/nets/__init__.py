"""Building blocks that the papers' networks share; none of them knows about hands."""
