"""A Django application's models and tests, run by Django's own runner through the pooler.

usage: django_peer.py PORT        (in a folder of its own: it writes the application there)
"""
import os
import pathlib
import sys

import django
from django.conf import settings

FILES = {
    "bookshop/__init__.py": "",
    "bookshop/models.py": '''
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=80, unique=True)


class Book(models.Model):
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    stock = models.IntegerField(default=0)
    details = models.JSONField(default=dict)
''',
    "bookshop/tests.py": '''
import threading

from django.db import IntegrityError, connection, transaction
from django.db.models import Count, F, Sum
from django.test import TestCase, TransactionTestCase

from bookshop.models import Author, Book


class ModelTests(TestCase):
    """Each in a transaction that is rolled back, with savepoints inside."""

    @classmethod
    def setUpTestData(cls):
        cls.author = Author.objects.create(name="Le Guin")
        Book.objects.bulk_create(Book(title=f"Book {n}", author=cls.author, stock=n, details={"n": n}) for n in range(50))

    def test_relations_and_aggregates(self):
        author = Author.objects.annotate(titles=Count("books"), stock=Sum("books__stock")).get()
        self.assertEqual((author.titles, author.stock), (50, sum(range(50))))
        self.assertEqual(Book.objects.filter(details__n__gte=48).count(), 2)
        self.assertEqual(len(Author.objects.prefetch_related("books")[0].books.all()), 50)

    def test_a_savepoint_takes_back_what_failed(self):
        with self.assertRaises(IntegrityError), transaction.atomic():
            Author.objects.create(name="Le Guin")
        Author.objects.create(name="Lem")
        self.assertEqual(Author.objects.count(), 2)

    def test_nothing_is_left_of_other_tests(self):
        self.assertEqual(Author.objects.count(), 1)


class CommittedTests(TransactionTestCase):
    """Committed, and emptied afterwards by TRUNCATE."""

    def test_a_server_side_cursor_outside_of_a_transaction(self):
        # WITH HOLD, which behind PgBouncer needs DISABLE_SERVER_SIDE_CURSORS.
        author = Author.objects.create(name="Borges")
        Book.objects.bulk_create(Book(title=str(n), author=author) for n in range(500))
        seen = 0
        for book in Book.objects.iterator(chunk_size=20):
            seen += 1
            if seen % 100 == 0:
                Book.objects.filter(pk=book.pk).update(stock=1)
        self.assertEqual((seen, Book.objects.filter(stock=1).count()), (500, 5))

    def test_rows_are_locked_across_threads(self):
        book = Book.objects.create(title="One", author=Author.objects.create(name="Calvino"))

        def sell():
            try:
                for _ in range(10):
                    with transaction.atomic():
                        locked = Book.objects.select_for_update().get(pk=book.pk)
                        locked.stock = locked.stock + 1
                        locked.save()
                    Book.objects.filter(pk=book.pk).update(stock=F("stock") + 1)
            finally:
                connection.close()

        threads = [threading.Thread(target=sell) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        book.refresh_from_db()
        self.assertEqual(book.stock, 120)

    def test_on_commit_and_time_zone(self):
        told = []
        with transaction.atomic():
            transaction.on_commit(lambda: told.append(True))
            self.assertEqual(told, [])
        self.assertEqual(told, [True])
        with connection.cursor() as cursor:
            cursor.execute("SHOW TimeZone")
            self.assertEqual(cursor.fetchone(), ("Europe/Vienna",))
''',
}

for name, text in FILES.items():
    path = pathlib.Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
sys.path.insert(0, os.getcwd())
settings.configure(
    SECRET_KEY="x", INSTALLED_APPS=["bookshop"], USE_TZ=False, TIME_ZONE="Europe/Vienna", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": sys.argv[1], "USER": "postgres", "NAME": "shop",
        "CONN_MAX_AGE": 0, "TEST": {"NAME": "test_shop"},
    }})
django.setup()
from django.test.runner import DiscoverRunner

# The database of the tests is there, and stays: a pool keeps connections to it, and PostgreSQL drops none that is in use.
sys.exit(bool(DiscoverRunner(verbosity=1, interactive=False, keepdb=True).run_tests(["bookshop"])))
