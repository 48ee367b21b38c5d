"""`--news FILE`: the releases that rules on news look at, from the document that tenants put."""

import json
from pathlib import Path

import pytest

from quantlab_server.backtests.accounts import account_for
from quantlab_server.backtests.given import CONFIGS
from quantlab_server.refusal import Refusal

CALENDAR = {
    "format": 1,
    "until": "2030-01-01T00:00:00Z",
    "events": [
        {
            "at": "2024-05-03T12:30:00Z",
            "name": "Non-farm payrolls",
            "currencies": ["USD"],
            "impact": "high",
        }
    ],
}


def written(folder: Path, document: object) -> Path:
    file = folder / "news.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def test_a_calendar_is_given_to_the_account(tmp_path: Path) -> None:
    found = account_for(CONFIGS, None, ("EURUSD",), 3, written(tmp_path, CALENDAR)).account
    assert found.news is not None
    assert [event.name for event in found.news.events] == ["Non-farm payrolls"]
    assert found.seed == 3
    assert account_for(CONFIGS, None, ("EURUSD",)).account.news is None


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({**CALENDAR, "until": "soon"}, "/until: expected"),
        ({**CALENDAR, "events": [{"at": 1}]}, "/events/0/"),
        ([], "expected an object"),
    ],
)
def test_a_wrong_calendar_is_named(tmp_path: Path, document: object, said: str) -> None:
    file = written(tmp_path, document)
    with pytest.raises(Refusal, match=str(file)) as refused:
        account_for(CONFIGS, None, ("EURUSD",), 0, file)
    assert said in str(refused.value)
