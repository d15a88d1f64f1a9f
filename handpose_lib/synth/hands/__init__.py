"""The synthetic hand: its surface and joints, poses, self-contact, motion."""
