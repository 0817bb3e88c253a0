"""A plan carried out: armed, changed, checked, confirmed or reverted."""
