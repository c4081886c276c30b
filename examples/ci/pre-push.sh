#!/bin/sh
# .git/hooks/pre-push: no push while a test leaks a connection.
exec pytest --quiet --whoholds=error
