"""Django's ORM with psycopg 3."""

import os
from typing import Any

import django
import pytest
from django.conf import settings

from . import RECOMMENDED, report

database: dict[str, Any] = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": os.environ["PGHOST"],
    "PORT": os.environ["PGPORT"],
    "USER": os.environ["PGUSER"],
    "PASSWORD": os.environ["PGPASSWORD"],
    "NAME": os.environ["PGDATABASE"],
}
if RECOMMENDED:
    database["DISABLE_SERVER_SIDE_CURSORS"] = True
settings.configure(DATABASES={"default": database}, TIME_ZONE="UTC")
django.setup()

from django.db import DataError, connection, models, transaction  # noqa: E402


class Basket(models.Model):  # type: ignore[misc]
    item = models.TextField()

    class Meta:
        app_label = "shop"
        db_table = "basket"


Basket.objects.create(item="committed")
connection.close()  # as at the end of each request
with transaction.atomic():
    Basket.objects.create(item="rolled back")
    transaction.set_rollback(True)
with pytest.raises(DataError, match="division by zero"), transaction.atomic():
    Basket.objects.create(item="failed")
    list(Basket.objects.annotate(ratio=1 / (models.F("id") - models.F("id"))).values_list("ratio"))
for _ in range(7):
    assert [basket.item for basket in Basket.objects.order_by("id")] == ["committed"]
assert [basket.item for basket in Basket.objects.all().iterator()] == ["committed"]
with transaction.atomic():
    assert [basket.item for basket in Basket.objects.all().iterator()] == ["committed"]
connection.close()
report(django.get_version())
