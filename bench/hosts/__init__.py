"""Where processes can be started: this machine, and machines over SSH."""
