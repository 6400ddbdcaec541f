"""lists of many models: how each stands, tags, saved views

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

import backend.database.types

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    moment = backend.database.types.UtcDateTime(timezone=True)
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "model_tags",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("tagged_by", sa.Text(), nullable=False),
        sa.Column("tagged_at", moment, nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_model_tags_model_models")),
        sa.PrimaryKeyConstraint("model", "tag", name=op.f("pk_model_tags")),
    )
    op.create_index("ix_model_tags_tag", "model_tags", ["tag", "model"], unique=False)
    op.create_table(
        "saved_views",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("page", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("query", backend.database.types.Json(), nullable=False),
        sa.Column("saved_at", moment, nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["persons.id"], name=op.f("fk_saved_views_owner_id_persons")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_views")),
        sa.UniqueConstraint("owner_id", "page", "name", name=op.f("uq_saved_views_owner_id_page_name")),
    )
    op.create_index(op.f("ix_saved_views_is_shared"), "saved_views", ["is_shared"], unique=False)
    op.create_table(
        "model_standings",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("since", moment, nullable=True),
        sa.Column("last_end", moment, nullable=True),
        sa.Column("stale_at", moment, nullable=True),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("figure", backend.database.types.Json(), nullable=False),
        sa.Column("history", backend.database.types.Json(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("completeness", sa.Double(), nullable=True),
        sa.Column("computed_at", moment, nullable=True),
        sa.Column("kept_at", moment, nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_model_standings_model_models")),
        sa.PrimaryKeyConstraint("model", "environment", name=op.f("pk_model_standings")),
    )
