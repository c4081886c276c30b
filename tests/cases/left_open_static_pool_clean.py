"""A StaticPool shares the one in-memory connection of a test among all who ask, for the life of the process.

source: DataJunction/dj#253
"""

from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool

engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})

for number in range(5):
    with engine.begin() as connection:
        connection.execute(text("SELECT :number"), {"number": number})
