"""Pure decisions of the platform: no input or output, no clock, no randomness."""
