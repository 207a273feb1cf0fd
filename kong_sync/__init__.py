"""The Kong side. Empty until its issue: nothing here pretends to work."""
