"""Ports kept in Redis or Valkey: caches, counters, subscriptions. Every key carries its tenant."""
