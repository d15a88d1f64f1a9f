"""Records of runs, the tables made from them, and the trained networks that come with the book."""
