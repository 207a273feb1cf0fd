"""The operators' floor: commands, HTTP side, and the assembly of a process from its settings."""
