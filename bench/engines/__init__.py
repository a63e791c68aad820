"""Start an engine on given hosts."""
