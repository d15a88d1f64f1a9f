"""What the chapters show and ask: figures, widgets, exercises and their checks."""
