"""What only a database server can do to a registry: be set up wrongly, cut connections, go away."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from fakes.postgresql import STRANGER
from fakes.registry_crowd import count_up_together, together
from fakes.registry_entries import NOW

from central.registry.registry import Registry
from transplant.errors import InvalidSettings, RegistryUnavailable

pytestmark = pytest.mark.postgres
OLD = {"site-a": ("dog",)}


@pytest.fixture
def registry(postgresql_database):
    """A registry that knows one site."""
    opened = postgresql_database.open()
    with opened.write() as books:
        books.sites.admit("site-a", ["dog"], NOW)
    return opened


def sites(registry):
    with registry.read() as books:
        return books.sites.all()


# --- connections that break ----------------------------------------------------------------------


def test_a_write_whose_connection_is_cut_changes_nothing(registry, postgresql_database, postgres):
    def write():
        with registry.write() as books:
            books.sites.admit("site-b", ["cat"], NOW)
            assert postgres.terminate(postgresql_database.name, "idle in transaction") == 1
            books.sites.admit("site-c", ["cow"], NOW)

    with pytest.raises(RegistryUnavailable, match="does not answer") as caught:
        write()
    assert caught.value.retry
    with registry.write() as books:  # the next call connects again
        assert books.sites.all() == OLD
        books.sites.admit("site-b", ["cat"], NOW)
    assert sites(registry) == OLD | {"site-b": ("cat",)}


def test_a_commit_on_a_cut_connection_changes_nothing(registry, postgresql_database, postgres):
    def commit():
        with registry.write() as books:
            books.sites.admit("site-b", ["cat"], NOW)
            assert postgres.terminate(postgresql_database.name) == 1

    with pytest.raises(RegistryUnavailable, match="does not answer"):
        commit()
    assert sites(registry) == OLD


def test_a_read_whose_connection_is_cut_says_so(registry, postgresql_database, postgres):
    def read():
        with registry.read() as books:
            assert books.sites.all() == OLD
            assert postgres.terminate(postgresql_database.name) == 1
            books.sites.all()

    with pytest.raises(RegistryUnavailable, match="does not answer"):
        read()
    assert sites(registry) == OLD


def test_connections_that_were_cut_while_nobody_used_them_are_replaced(
    registry, postgresql_database, postgres
):
    together([lambda: sites(registry)] * 4)
    assert postgres.terminate(postgresql_database.name) >= 1
    assert together([lambda: sites(registry)] * 4) == [OLD] * 4


def test_a_server_that_is_down_says_so_and_is_found_again(registry, postgres):
    postgres.stop()
    try:
        for transaction in (registry.read, registry.write):
            with pytest.raises(RegistryUnavailable, match="does not answer"), transaction() as books:
                books.sites.all()
    finally:
        postgres.start()
    with registry.write() as books:
        assert books.sites.all() == OLD


def test_when_all_connections_are_in_use_a_caller_is_told(postgresql_database):
    registry = postgresql_database.open(wait_s=0.1)
    with ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(registry.read()).sites.all()
        with pytest.raises(RegistryUnavailable, match="in use"):
            sites(registry)
    assert sites(registry) == {}


def test_the_lock_of_a_lost_writer_goes_with_its_connection(registry, postgresql_database, postgres):
    other = postgresql_database.open(wait_s=0.1)

    def write_and_vanish():
        with registry.write() as books:
            books.sites.admit("site-c", ["cow"], NOW)
            with pytest.raises(RegistryUnavailable, match="busy"), other.write() as others:
                others.sites.all()
            assert postgres.terminate(postgresql_database.name, "idle in transaction") == 1
            with other.write() as others:
                others.sites.admit("site-b", ["cat"], NOW)

    with pytest.raises(RegistryUnavailable, match="does not answer"):
        write_and_vanish()
    assert sites(other) == OLD | {"site-b": ("cat",)}


# --- servers that are set up otherwise -----------------------------------------------------------


def test_no_update_is_lost_whatever_isolation_is_the_servers_default(postgresql_database, postgres):
    name = postgresql_database.name
    postgres.ask(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    count_up_together(postgresql_database.open(), postgresql_database.open())


def refusal(url) -> str:
    """Return why the registry of a URL is not opened."""
    registry = Registry(url)
    with pytest.raises(InvalidSettings) as caught:
        registry.create()
    registry.close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_user_without_rights_is_said(postgres):
    name = postgres.create_database()
    postgres.ask("REVOKE CREATE ON SCHEMA public FROM PUBLIC", name)  # PostgreSQL 15 begins so
    assert "permission denied for schema public" in refusal(postgres.url(name, STRANGER))
    postgres.drop_database(name)


def test_another_encoding_is_said(postgres):
    ((version,),) = postgres.ask("SHOW server_version_num")
    provider = "LOCALE_PROVIDER libc" if int(version) >= 150000 else ""
    name = postgres.create_database(f"ENCODING 'SQL_ASCII' TEMPLATE template0 {provider}")
    assert "encoding SQL_ASCII: make one with ENCODING 'UTF8'" in refusal(postgres.url(name))
    postgres.drop_database(name)


def test_a_database_that_is_not_there_is_said(postgres):
    assert 'database "nowhere" does not exist' in refusal(postgres.url("nowhere"))


def test_a_server_that_is_not_there_is_said_without_the_password(postgres):
    place = f"host={postgres.folder}/elsewhere"
    for user, query in (("ann:secret", place), ("ann", f"{place}&password=secret")):
        said = refusal(f"postgresql+psycopg://{user}@/net?{query}")
        assert said.startswith("cannot open the registry postgresql+psycopg://ann")
        assert "secret" not in said
