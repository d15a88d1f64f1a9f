"""One script per data set: obtain, verify, convert, or synthesise it."""
