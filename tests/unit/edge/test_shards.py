"""Shares of the accounts: each account in exactly one, and a wrong share stops the start."""

from pathlib import Path
from uuid import UUID

import pytest
from pydantic import ValidationError

from quantlab_app.ports.shard import Shard, parse_shard
from quantlab_edge.settings import Settings

IDS = [str(UUID(int=number << 64 | number)) for number in range(3000)]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_account_is_in_exactly_one_share_and_shares_are_alike(count: int) -> None:
    shares = [[one for one in IDS if Shard(index, count).holds(one)] for index in range(count)]
    assert sorted(one for share in shares for one in share) == sorted(IDS)
    assert min(map(len, shares)) > len(IDS) / count * 0.8


@pytest.mark.parametrize(
    "text",
    ["", "1", "1/1", "3/3", "-1/2", "0/0", "01/2", "0/10000", "a/b", "0/2/3", " 0/2", "0 /2"],
)
def test_a_wrong_share_stops_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="INDEX/COUNT"):
        parse_shard(text)
    with pytest.raises(ValidationError, match="INDEX/COUNT"):
        Settings(database_url="x", redis_url="x", state=Path("x"), shard=text)


def test_a_share_is_read_as_written_and_is_all_where_nothing_is_said() -> None:
    assert parse_shard("2/3") == Shard(2, 3)
    assert Settings(database_url="x", redis_url="x", state=Path("x")).shard == "0/1"
