"""SQLAlchemy's ORM with psycopg2, with a Sequence and with an identity column."""

import pytest
import sqlalchemy
from sqlalchemy import Identity, Sequence, create_engine, func, select
from sqlalchemy.exc import DataError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from . import RECOMMENDED, report


class Base(DeclarativeBase):
    pass


class Basket(Base):
    __tablename__ = "basket"
    id: Mapped[int] = mapped_column(Identity() if RECOMMENDED else Sequence("basket_id_seq"), primary_key=True)
    item: Mapped[str]


engine = create_engine("postgresql+psycopg2://", pool_size=2)
with Session(engine) as session:
    session.add(Basket(item="committed"))
    session.commit()
with Session(engine) as session:
    session.add_all([Basket(item="rolled back"), Basket(item="rolled back, too")])
    session.flush()
    session.rollback()
with Session(engine) as session:
    session.add(Basket(item="failed"))
    with pytest.raises(DataError, match="division by zero"):
        session.execute(select(1 / func.abs(0)))
    session.rollback()
for _ in range(7):
    with Session(engine) as session:
        assert session.scalars(select(Basket.item).where(Basket.item != "")).all() == ["committed"]
engine.dispose()
report(sqlalchemy.__version__)
