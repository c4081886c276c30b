"""A Django project whose jobs run in django-q2's cluster, with the database as the broker; one file, a command each."""

import os
import sys
import time
from urllib.parse import urlsplit

import django
from django.conf import settings

url = urlsplit(os.environ["DSN"])
address = {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:] or "postgres", "USER": url.username}
address |= {"PASSWORD": url.password or "", "HOST": url.hostname, "PORT": url.port}
settings.configured or settings.configure(  # a worker imports its job from here, where this is __main__
    SECRET_KEY="of a test",  # noqa: S106
    INSTALLED_APPS=["django.contrib.contenttypes", "django_q"],
    DATABASES={"default": address},
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    Q_CLUSTER={"name": "cars", "workers": 2, "orm": "default", "poll": 0.3, "timeout": 60, "retry": 90},
)


def count(number):
    """Ask how many jobs have succeeded."""
    from django_q.models import Success

    print("job", number, Success.objects.count() >= 0, flush=True)
    return number


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(__file__))
    if sys.argv[1] == "jobs":
        django.setup()
        from django_q.models import Success
        from django_q.tasks import async_task

        before = Success.objects.count()
        for number in range(4):
            async_task("django_q_site.count", number)
        last = time.monotonic() + 60
        while Success.objects.count() < before + 4 and time.monotonic() < last:
            time.sleep(0.2)
        sys.exit(Success.objects.count() < before + 4)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
