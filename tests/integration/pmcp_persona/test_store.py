"""The schema `persona` refuses what would be wrong, and a broken connection is an `Unavailable`, not a fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from pmcp_common.contracts.errors import Conflict, DomainError, InvalidParams, PersonaNotFound, Unavailable
from pmcp_common.contracts.personas import Interaction
from pmcp_common.postgres import connect_pool, migrate, read_migrations
from pmcp_persona.database import MIGRATIONS, Database
from pmcp_persona.inner_life import InnerLife
from pmcp_persona.refusals import REFUSALS
from pmcp_persona.store import PersonaStore


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await connect_pool(dsn, application_name="test", min_size=1, max_size=2)
    yield pool
    await pool.close()


@pytest.fixture
def database(pool: asyncpg.Pool) -> Database:
    return Database(pool, acquire_timeout_seconds=2.0)


@pytest.fixture
def store(database: Database) -> PersonaStore:
    return PersonaStore(database)


async def refusal_of(database: Database, statement: str) -> DomainError:
    with pytest.raises(DomainError) as refused:
        async with database.connection() as connection:
            await connection.execute(statement)
    return refused.value


async def test_every_constraint_of_the_schema_has_a_meaning(pool: asyncpg.Pool) -> None:
    rows = await pool.fetch(
        "SELECT conname AS name FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
        " WHERE c.connamespace = 'persona'::regnamespace AND t.relname <> 'schema_migrations'"
        " AND c.contype <> 'n'"
        " UNION SELECT i.indexrelid::regclass::name FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid"
        " WHERE t.relnamespace = 'persona'::regnamespace AND i.indisunique AND t.relname <> 'schema_migrations'"
    )
    names = {row["name"].removeprefix("persona.") for row in rows}
    assert names == set(REFUSALS)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("charisma = 21", "charisma"),
        ("intelligence = 0", "intelligence"),
        ("energy = 201", "energy"),
        ("available_time = -1", "available_time"),
        ("priority = 'bored'", "priority"),
        ("name = ''", "name"),
        ("id = 'ARIA'", "id"),
        ("version = 0", "version"),
        ("personality_traits = '[]'", "personality_traits"),
        ("topic_preferences = '[]'", "topic_preferences"),
        ("""topic_preferences = '{"music": 101}'""", "topic_preferences"),
        ("""topic_preferences = '{"music": -1}'""", "topic_preferences"),
        ("""topic_preferences = '{"music": 0.5}'""", "topic_preferences"),
        ("""topic_preferences = '{"music": "much"}'""", "topic_preferences"),
    ],
)
async def test_a_value_out_of_its_range_is_a_wrong_parameter(database: Database, change: str, field: str) -> None:
    error = await refusal_of(database, f"UPDATE persona.personas SET {change} WHERE name = 'Aria'")
    assert isinstance(error, InvalidParams)
    assert error.data == {"field": field}


async def test_a_second_persona_of_the_same_name_is_a_conflict(database: Database) -> None:
    statement = "INSERT INTO persona.personas (tenant_id, id, name) VALUES ('local', 'x', 'ARIA')"
    assert isinstance(await refusal_of(database, statement), Conflict)


async def test_the_first_personas_come_once_however_many_replicas_start(postgres_dsn: str) -> None:
    runs = await asyncio.gather(*(migrate(postgres_dsn, MIGRATIONS, "persona") for _ in range(3)))
    assert sorted(map(len, runs)) == [0, 0, len(read_migrations(MIGRATIONS))]
    connection = await asyncpg.connect(postgres_dsn)
    assert await connection.fetchval("SELECT count(*) FROM persona.personas") == 2
    await connection.close()


async def test_an_unknown_persona_is_not_found(store: PersonaStore) -> None:
    with pytest.raises(PersonaNotFound, match="Persona not found: Nobody"):
        await store.find("local", "Nobody", "p1")


async def test_without_postgres_every_call_is_unavailable(
    store: PersonaStore, database: Database, pool: asyncpg.Pool
) -> None:
    await pool.close()
    with pytest.raises(Unavailable):
        await store.find("local", "Aria", "p1")
    with pytest.raises(Unavailable):
        await database.check()


async def test_a_connection_the_server_ended_is_unavailable_once_and_replaced(
    store: PersonaStore, database: Database
) -> None:
    with pytest.raises(Unavailable):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert (await store.find("local", "Aria", "p1")).persona.name == "Aria"


async def test_a_pool_with_no_free_connection_is_unavailable_in_time(pool: asyncpg.Pool) -> None:
    store = PersonaStore(Database(pool, acquire_timeout_seconds=0.05))
    async with pool.acquire(), pool.acquire():
        with pytest.raises(Unavailable):
            await store.find("local", "Aria", "p1")


async def test_a_turn_that_cannot_be_stored_whole_leaves_nothing(database: Database, pool: asyncpg.Pool) -> None:
    await pool.execute(
        "CREATE FUNCTION persona.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER refuse BEFORE INSERT ON persona.interaction_states"
        " FOR EACH ROW EXECUTE FUNCTION persona.refuse()"
    )
    told = Interaction(player_id="p1", interaction_id="i1", duration_seconds=3, sentiment=1)
    with pytest.raises(Unavailable):
        await InnerLife(database, world=False).record_turn("local", "Aria", told, datetime.now(UTC))
    for table in ("interaction_states", "relationships", "relationship_events", "emotions", "emotion_events"):
        assert await pool.fetchval(f"SELECT count(*) FROM persona.{table}") == 0
