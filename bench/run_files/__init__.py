"""What the folder of a run holds, read back."""
