"""The AWS deployment: one Lambda per function manifest, and what they need around them."""
