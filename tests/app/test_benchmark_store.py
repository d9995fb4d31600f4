"""Stored benchmarks: kept over restarts, listed, followed over time, deleted; and files that cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.benchmark.database import FILE, VERSION
from app.benchmark.result import Result, Series, Status, Who
from app.benchmark.store import Store
from app.errors import ResultsUnavailable, UnknownBenchmark
from tests.app.guarded import ADMIN, USER, guarded, key
from tests.app.test_benchmark import URL, finish
from tests.app.test_problems import check
from tests.conftest import Serve
from tests.synthetic import colonoscopy, encode

SHORT = {"iterations": 3, "warmup": 0}


def run(client: httpx.Client, **spec: object) -> str:
    started = client.post(URL, json=SHORT | spec)
    assert finish(client, started)["state"] == "done"
    return str(started.json()["id"])


def status(number: int, *models: str, result: Result | None = None) -> Status:
    created = f"2025-01-01T00:00:{number:02}+00:00"
    return Status(
        id=f"{number:04}", state="failed", progress=0.5, created=created, models=list(models), error="e", result=result
    )


@contextmanager
def edited(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file)) as database:
        yield database
        database.commit()


def test_results_outlive_the_service(serve: Serve, tmp_path: Path) -> None:
    first = serve(data_dir=tmp_path / "new" / "data")
    benchmark = run(first, concurrency=2)
    before = first.get(f"{URL}/{benchmark}").json()
    table = first.get(f"{URL}/{benchmark}.csv").text
    second = serve(data_dir=tmp_path / "new" / "data")
    assert second.get(f"{URL}/{benchmark}").json() == before
    assert second.get(f"{URL}/{benchmark}.csv").text == table
    listing = second.get(URL).json()
    assert (listing["total"], listing["running"], listing["persistent"]) == (1, None, True)
    assert listing["benchmarks"][0]["id"] == benchmark


def test_without_a_data_folder_they_are_listed_too(serve: Serve) -> None:
    client = serve()
    benchmark = run(client)
    listing = client.get(URL).json()
    assert (listing["persistent"], "cpu" in listing["providers"]) == (False, True)
    (entry,) = listing["benchmarks"]
    assert (entry["id"], entry["state"], entry["models"]) == (benchmark, "done", ["red-dense/1", "red-pruned/1"])
    result = client.get(f"{URL}/{benchmark}").json()["result"]
    assert entry["ratios"][0]["ratio"] == result["comparisons"][0]["speedup"]


def test_a_clock_that_was_set_back_costs_no_result() -> None:
    store = Store(None, 2)
    for number in (5, 6, 1):
        store.save(status(number), [])
    assert {one.id for one in store.page(model=None, limit=9, offset=0)[1]} == {"0006", "0001"}


def test_pages_and_filter_of_the_list(serve: Serve) -> None:
    client = serve()
    ids = [run(client), run(client, models=["red-dense"]), run(client)][::-1]
    pages = [client.get(URL, params={"limit": 2, "offset": offset}).json() for offset in (0, 2)]
    assert [[entry["id"] for entry in page["benchmarks"]] for page in pages] == [ids[:2], ids[2:]]
    assert {page["total"] for page in pages} == {3}
    for model in ("red-pruned", "red-pruned/1"):
        page = client.get(URL, params={"model": model}).json()
        assert (page["total"], [entry["id"] for entry in page["benchmarks"]]) == (2, [ids[0], ids[2]])
    assert client.get(URL, params={"model": "red"}).json()["total"] == 0
    for bad in ({"limit": 0}, {"limit": 101}, {"offset": -1}, {"offset": 2**63}, {"page": 1}, {"limit": [1, 2]}):
        check(client.get(URL, params=bad), 422, "bad-parameter")


def test_trend_joins_what_was_measured_alike(serve: Serve) -> None:
    client = serve()
    ids = [run(client), run(client)]
    run(client, threads=1, batch=2)
    trends = client.get(f"{URL}/trends").json()["trends"]
    assert [(trend["conditions"]["batch"], len(trend["points"])) for trend in trends] == [(1, 2), (2, 1)]
    trend = trends[0]
    assert (trend["kind"], trend["base"]["id"], trend["other"]["id"]) == ("pruned", "red-dense/1", "red-pruned/1")
    assert [point["id"] for point in trend["points"]] == ids
    speedup = client.get(f"{URL}/{ids[0]}").json()["result"]["comparisons"][0]["speedup"]
    assert trend["points"][0]["ratio"] == speedup
    assert len(client.get(f"{URL}/trends", params={"model": "red-pruned"}).json()["trends"]) == 2
    assert client.get(f"{URL}/trends", params={"model": "absent"}).json()["trends"] == []


def test_only_an_admin_deletes(tmp_path: Path, models_dir: Path) -> None:
    with guarded(tmp_path, models_dir, data_dir=tmp_path / "data") as client:
        started = client.post(URL, json=SHORT, headers=key(USER))
        path = started.headers["location"]
        while client.get(path, headers=key(USER)).json()["state"] == "running":
            pass
        check(client.delete(path), 401, "unauthorized")
        check(client.delete(path, headers=key(USER)), 403, "forbidden")
        assert client.get(path, headers=key(USER)).status_code == 200
        assert client.delete(path, headers=key(ADMIN)).status_code == 204
        check(client.delete(path, headers=key(ADMIN)), 404, "unknown-benchmark")
        check(client.get(f"{path}.csv", headers=key(USER)), 404, "unknown-benchmark")
        assert client.get(f"{URL}/trends", headers=key(USER)).json()["trends"] == []


def test_nobody_deletes_without_keys(serve: Serve) -> None:
    check(serve().delete(f"{URL}/7f3a"), 403, "forbidden")


def test_one_more_drops_the_oldest_with_its_samples(tmp_path: Path) -> None:
    store = Store(tmp_path, history=2)
    samples = [Series(Who(id="red/1", provider="CPU"), "rounds", 1, np.ones((3, 1)))]
    for number in range(3):
        store.save(status(number, "red/1"), samples)
    assert [entry.id for entry in store.page(model=None, limit=9, offset=0)[1]] == ["0002", "0001"]
    with edited(tmp_path / FILE) as database:
        assert database.execute("SELECT DISTINCT benchmark FROM series ORDER BY 1").fetchall() == [("0001",), ("0002",)]


def test_samples_come_back_as_they_were(tmp_path: Path) -> None:
    store = Store(tmp_path, history=2)
    seconds = np.random.default_rng(0).random((4, 3))
    who = Who(id="red/1", provider="CPU", stage="end_to_end")
    store.save(status(1, "red/1"), [Series(who, "sweep", 8, seconds)])
    (found,) = store.series("0001")
    assert (found.who, found.phase, found.concurrency) == (who, "sweep", 8)
    np.testing.assert_allclose(found.seconds, seconds, rtol=1e-6)
    assert store.get("0001") == status(1, "red/1")
    with pytest.raises(UnknownBenchmark):
        store.get("0002")


def damage(file: Path) -> None:
    file.write_bytes(b"no database at all" * 100)


def cut(file: Path) -> None:
    Store(file.parent, 9).save(status(1, *(f"model-{number}/1" for number in range(900))), [])
    file.write_bytes(file.read_bytes()[:4096])


def make_older(file: Path) -> None:
    Store(file.parent, 9).check()
    with edited(file) as database:
        database.execute(f"PRAGMA user_version = {VERSION - 1}")


def make_newer(file: Path) -> None:
    Store(file.parent, 9).check()
    with edited(file) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")


def make_foreign(file: Path) -> None:
    with edited(file) as database:
        database.execute("CREATE TABLE theirs (value)")


BROKEN = [
    (damage, "damaged or no database"),
    (cut, "damaged or no database"),
    (make_older, f"version {VERSION - 1}, and {VERSION} is expected"),
    (make_newer, f"version {VERSION + 1}, and {VERSION} is expected"),
    (make_foreign, "another program's"),
]


@pytest.mark.parametrize(("spoil", "words"), BROKEN)
def test_a_file_that_cannot_be_used_is_left_as_it_is(
    serve: Serve, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    """Masks are served, benchmarks run, and once the file was moved away the next one is stored, with those before."""
    file = tmp_path / FILE
    spoil(file)
    before = file.read_bytes()
    client = serve(data_dir=tmp_path)
    assert client.get("/readyz").status_code == 200
    assert client.post("/v1/segment", files={"file": encode(colonoscopy())}).status_code == 200
    for path in (URL, f"{URL}/trends", f"{URL}/7f3a"):
        assert words in check(client.get(path), 503, "results-unavailable")["detail"]
    benchmark = run(client)
    assert words in client.get(f"{URL}/{benchmark}").json()["warning"]
    assert client.get(f"{URL}/{benchmark}.csv").text.count("\n") == 1 + 3 * 2
    assert file.read_bytes() == before
    file.rename(tmp_path / "moved")
    after = run(client)
    assert [entry["id"] for entry in client.get(URL).json()["benchmarks"]] == [after, benchmark]
    assert client.get(f"{URL}/{benchmark}").json()["warning"] is None


def test_a_file_that_is_locked_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.benchmark.database.PATIENCE", 0.01)
    store = Store(tmp_path, history=2)
    store.save(status(1, "red/1"), [])
    with edited(tmp_path / FILE) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ResultsUnavailable, match="held by another process"):
            store.save(status(2, "red/1"), [])
        other.execute("ROLLBACK")
    store.save(status(2, "red/1"), [])
    assert store.page(model=None, limit=9, offset=0)[0] == 2


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsUnavailable, match="POLYPRUNE_DATA_DIR"):
        Store(tmp_path / "file" / "data", 2).check()


def test_what_fails_half_way_is_not_there(tmp_path: Path) -> None:
    """The second of two series with one place breaks the save: nothing of it stays."""
    store = Store(tmp_path, history=2)
    store.check()
    with edited(tmp_path / FILE) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON series BEGIN SELECT RAISE(ABORT, 'full'); END")
    samples = [Series(Who(id="red/1", provider="CPU"), "rounds", 1, np.ones((3, 1)))]
    with pytest.raises(ResultsUnavailable, match="full"):
        store.save(status(1, "red/1"), samples)
    assert store.page(model=None, limit=9, offset=0) == (0, [])


def test_a_status_of_another_shape_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, history=2)
    store.save(status(1, "red/1"), [])
    with edited(tmp_path / FILE) as database:
        database.execute("UPDATE benchmark SET status = '{}'")
    with pytest.raises(ResultsUnavailable, match="another version"):
        store.get("0001")
    assert store.page(model=None, limit=9, offset=0)[0] == 1
