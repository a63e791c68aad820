"""Where the time of a run goes, and what each added worker is lost to."""
