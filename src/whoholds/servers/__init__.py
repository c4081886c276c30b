"""What a database server says of its connections: the questions for PostgreSQL and MySQL, and the answers in words."""
