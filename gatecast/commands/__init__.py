"""One file a command, imported when it is called: `gatecast.cli` holds the table."""
