"""Tenants as data: scope, roles and permissions, configuration and its checks.

It must not know accounts, orders or rules, and reads no file.
"""
