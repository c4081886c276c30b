"""Jobs in an executor open Flask's application context in a with block: Flask-SQLAlchemy ends their sessions.

source: dchevell/flask-executor#15
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

app = Flask(__name__, instance_path=os.getcwd())
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
db = SQLAlchemy(app)
together = threading.Barrier(3)


def job(number):
    with app.app_context():
        db.session.execute(text("SELECT :number"), {"number": number})
    together.wait(20)


with ThreadPoolExecutor(3) as executor:
    list(executor.map(job, range(6)))
