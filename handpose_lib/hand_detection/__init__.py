"""Locating the hand in a depth image: the detector, and the network that refines a crop centre."""
