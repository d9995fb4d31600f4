"""Rate and concurrency of one caller: the arithmetic, and at the door of a real server."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import httpx
import pytest

from app.limits import Buckets, TokenBucket, network_of
from tests.app.guarded import ADMIN_LINE, OTHER, OTHER_LINE, USER, USER_LINE, echo, from_address, guarded, key
from tests.app.test_problems import check
from tests.conftest import Serve


def test_bucket_by_hand() -> None:
    """Two at once, then one every half second."""
    bucket = TokenBucket(rate=2, burst=2, now=0)
    assert [bucket.take(0), bucket.take(0)] == [0, 0]
    assert bucket.take(0) == 0.5
    assert bucket.take(0.25) == 0.25
    assert bucket.take(0.5) == 0
    assert (bucket.left, bucket.seconds_to_full) == (0, 1)
    assert bucket.take(100) == 0
    assert bucket.left == 1  # a pause fills it, and no further


def test_memory_is_bounded() -> None:
    buckets = Buckets(most=3)
    first = buckets.of("0", 1, 1)
    for number in range(3):
        buckets.of("0", 1, 1)
        buckets.of(str(number), 1, 1)
    assert buckets.of("0", 1, 1) is first
    for number in range(1000):
        buckets.of(f"other {number}", 1, 1)
    assert len(buckets) == 3
    assert buckets.of("0", 1, 1) is not first


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("unknown", "unknown"),
        ("no:address", "no:address"),
    ],
)
def test_what_counts_as_one_client(address: str, network: str) -> None:
    assert network_of(address) == network


def until_refused(client: httpx.Client, headers: dict[str, str]) -> tuple[int, httpx.Response]:
    """How many passed, and the refusal; the limit is so slow that no machine outruns it."""
    for count in range(50):
        response = client.get("/v1/models", headers=headers)
        if response.status_code != 200:
            return count, response
    raise AssertionError("50 requests passed")


def test_rate_of_a_key_and_recovery(tmp_path: Path, models_dir: Path) -> None:
    with guarded(tmp_path, models_dir, rate_limit=0.5, rate_burst=2) as client:
        first = client.get("/v1/models", headers=key(USER))
        assert first.headers["ratelimit-policy"] == '"requests";q=2;w=4'
        assert first.headers["ratelimit"] == '"requests";r=1;t=2'
        passed, refused = until_refused(client, key(USER))
        assert passed >= 1
        problem = check(refused, 429, "too-many-requests")
        assert 0 < problem["retry_after"] <= 2
        assert client.get("/v1/models", headers=key(OTHER)).status_code == 200
        assert client.get("/healthz", headers=key(USER)).status_code == 200
        time.sleep(int(refused.headers["retry-after"]))
        assert client.get("/v1/models", headers=key(USER)).status_code == 200


def test_own_limits_of_a_key(tmp_path: Path, models_dir: Path) -> None:
    lines = (f"{USER_LINE} rate=0.001 burst=3", OTHER_LINE, ADMIN_LINE)
    with guarded(tmp_path, models_dir, *lines) as client:
        assert until_refused(client, key(USER))[0] == 3
        with pytest.raises(AssertionError, match="50 requests passed"):
            until_refused(client, key(OTHER))


def test_rate_of_an_address_where_there_are_no_keys(serve: Serve) -> None:
    client = serve(rate_limit=0.001, rate_burst=2)
    for address in ("10.2.0.1", "10.2.0.2"):
        assert until_refused(client, from_address(address))[0] == 2
    assert until_refused(client, from_address("2001:db8::1"))[0] == 2
    assert until_refused(client, from_address("2001:db8::2"))[0] == 0  # the same subscriber
    assert client.get("/readyz", headers=from_address("10.2.0.1")).status_code == 200


def until_open(client: httpx.Client, headers: dict[str, str]) -> int:
    """The server learns of a closed connection a moment later than we do."""
    for _ in range(500):
        status = client.get("/v1/models", headers=headers).status_code
        if status == 200:
            break
        time.sleep(0.01)
    return status


def test_an_open_stream_takes_one_place(tmp_path: Path, models_dir: Path) -> None:
    with guarded(tmp_path, models_dir, concurrency_limit=1) as client:
        with echo(client, key(USER)):
            refused = client.get("/v1/models", headers=key(USER))
            check(refused, 429, "too-many-requests")
            assert refused.headers["retry-after"] == "1"
            assert client.get("/v1/models", headers=key(OTHER)).status_code == 200
        assert until_open(client, key(USER)) == 200


def test_a_request_takes_one_place_until_it_is_answered(serve: Serve) -> None:
    client = serve(concurrency_limit=1)
    assert client.base_url.port is not None
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as slow:
        slow.sendall(
            b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
        )
        assert slow.recv(4096).startswith(b"HTTP/1.1 100")  # it is being read
        check(client.get("/v1/models"), 429, "too-many-requests")
        slow.sendall(b"0123456789")
        assert slow.recv(4096).startswith(b"HTTP/1.1 415")
    assert until_open(client, {}) == 200
