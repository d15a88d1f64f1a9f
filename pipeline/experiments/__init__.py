"""Trainings and evaluations outside the training notebooks; each leaves a record."""
