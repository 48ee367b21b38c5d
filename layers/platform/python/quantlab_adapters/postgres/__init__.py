"""Ports kept in PostgreSQL. Every statement on tenant data runs under row-level security."""
