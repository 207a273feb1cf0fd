"""One file a step, both ways. A published step is never edited."""
