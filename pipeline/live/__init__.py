"""The page of the book on which one poses a hand, and networks answer at once: export and build."""
