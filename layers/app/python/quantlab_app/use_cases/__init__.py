"""One module a story: read everything, decide purely, write everything."""
