"""The synthetic person: surface, joints, and frames as ITOP shows them."""
