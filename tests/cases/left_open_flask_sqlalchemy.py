"""Jobs in an executor push Flask's application context and never pop it: Flask-SQLAlchemy ends no session of theirs.

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
contexts = []
together = threading.Barrier(3)


def job(number):
    context = app.app_context()
    context.push()
    contexts.append(context)
    db.session.execute(text("SELECT :number"), {"number": number})  # opened: left-open error x6 by job
    together.wait(20)


with ThreadPoolExecutor(3) as executor:
    list(executor.map(job, range(6)))  # spawned: job
