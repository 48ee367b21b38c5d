"""Live strategies in child processes behind the walls of the sandbox."""
