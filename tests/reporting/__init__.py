"""How findings are told: journals, reports."""
