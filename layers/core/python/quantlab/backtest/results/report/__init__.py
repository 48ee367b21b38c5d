"""One HTML page of a run's results: it loads nothing and needs no script."""
