"""Asks a database server about its connections: the queries for PostgreSQL and MySQL, and the answers in words."""
