"""Signals of bots, two thirds of them good, and the end that each may have."""

import base64
import hmac
import json
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from quantlab.webhooks.signature import sign, standard_key
from quantlab_edge.asgi import BODY_BYTES_MAX

REPLAYABLE = 400
ACCEPTED, DUPLICATE = "accepted", "duplicate"
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LoadBot:
    """A bot of the run. strict says that its account may be disabled by its rules meanwhile."""

    tenant_id: str
    bot_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    account_id: str
    user_id: str
    limited: bool
    strict: bool


@dataclass(frozen=True, slots=True)
class Sending:
    """One request as it goes out, and the ends it may have."""

    kind: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    expected: frozenset[str]
    chunked: bool = False


class Traffic:
    """Make sendings one after the other; what is replayed comes from what was accepted before."""

    def __init__(
        self,
        bots: list[LoadBot],
        seed: int,
        prices: Callable[[], float | None],
        *,
        keeps_bytes: bool = True,
    ) -> None:
        self._bots = bots
        self._keeps_bytes = keeps_bytes
        self._random = random.Random(seed)
        self._prices = prices
        self._number = 0
        self._accepted: deque[tuple[Sending, str]] = deque(maxlen=REPLAYABLE)
        self.run_id = f"{seed}-{time.time_ns()}"

    def remember(self, sending: Sending, signal_id: str) -> None:
        self._accepted.append((sending, signal_id))

    def next(self) -> list[Sending]:
        """Return what is sent next: one sending, or copies that go out at the same time."""
        self._number += 1
        if self._random.randrange(3):
            return [self._good(self._bot())]
        kind = self._random.choice(tuple(_BAD))
        return _BAD[kind](self)

    def _bot(self) -> LoadBot:
        return self._random.choice(self._bots)

    def _good(self, bot: LoadBot, kind: str = "good", **fields: Any) -> Sending:
        return self._sending(kind, bot, {**self._order(), **fields}, {ACCEPTED})

    def _order(self) -> Body:
        """Mostly entries, some with protective prices near the market; some closes."""
        body: Body = {"id": f"{self.run_id}-{self._number}", "symbol": "EURUSD"}
        chance = self._random.random()
        if chance < 0.12:
            return {**body, "action": "close"}
        if chance < 0.18:
            return {"id": body["id"], "action": "flat"}
        buys = self._random.random() < 0.5
        body |= {
            "action": "buy" if buys else "sell",
            "quantity": f"{self._random.randrange(1, 300) / 100:.2f}",
        }
        price = self._prices()
        if price is not None and self._random.random() < 0.4:
            away = self._random.choice((-1, 1)) * self._random.uniform(0.0001, 0.001)
            protective = "stopLoss" if (away < 0) == buys else "takeProfit"
            body[protective] = f"{price + away:.5f}"
        return body

    def _sending(self, kind: str, bot: LoadBot, body: Body | bytes, expected: set[str]) -> Sending:
        """Sign in one of the three modes; a body of bytes can only be signed in headers."""
        mode = self._random.choice(("signed", "signed", "standard", "token"))
        if bot.limited:
            expected = expected | {"rate_limited"}
        if bot.strict:
            expected = expected | {"account_disabled"}
        if mode == "token" and isinstance(body, dict):
            raw = json.dumps({**body, "secret": bot.secret}).encode()
            path = f"/webhooks/signals/{bot.token}"
            return Sending(kind, path, raw, {}, frozenset(expected))
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = (
            self._standard(bot, raw)
            if mode == "standard"
            else {"X-Signature": sign(bot.secret, _now_s(), raw)}
        )
        headers["X-Bot-Id"] = bot.bot_id
        return Sending(kind, "/webhooks/signals", raw, headers, frozenset(expected))

    def _standard(self, bot: LoadBot, raw: bytes, at_s: int | None = None) -> dict[str, str]:
        message_id, moment = f"msg_{self.run_id}-{self._number}", str(at_s or _now_s())
        key = standard_key(bot.secret)
        assert key is not None
        digest = hmac.digest(key, f"{message_id}.{moment}.".encode() + raw, "sha256")
        return {
            "webhook-id": message_id,
            "webhook-timestamp": moment,
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        }

    def malformed(self) -> list[Sending]:
        raws = (
            b"{not json",
            b"[]",
            b'"text"',
            b"",
            *([b"\xff\xfe{}"] if self._keeps_bytes else []),
            b'{"a":1,"a":2}',
            b"nul",
            b"[" * 9000,
        )
        raw = self._random.choice(raws) + b" " * self._number
        return [self._sending("malformed", self._bot(), raw, {"malformed"})]

    def late(self) -> list[Sending]:
        bot, body = self._bot(), self._order()
        skew_s = self._random.choice((-4000, -310, 900, 4000))
        if self._random.random() < 0.3:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_now_s() + skew_s))
            raw = json.dumps({**body, "secret": bot.secret, "timenow": moment}).encode()
            path, headers = f"/webhooks/signals/{bot.token}", {}
        else:
            raw = json.dumps(body).encode()
            path = "/webhooks/signals"
            headers = {
                "X-Signature": sign(bot.secret, _now_s() + skew_s, raw),
                "X-Bot-Id": bot.bot_id,
            }
        return [Sending("late", path, raw, headers, frozenset({"stale_timestamp"}))]

    def replayed(self) -> list[Sending]:
        if not self._accepted:
            return [self._good(self._bot())]
        first, signal_id = self._random.choice(self._accepted)
        expected = frozenset({DUPLICATE, signal_id})
        return [Sending("replayed", first.path, first.body, first.headers, expected)]

    def copies(self) -> list[Sending]:
        one = self._good(self._bot(), "copies")
        many = Sending("copies", one.path, one.body, one.headers, one.expected | {DUPLICATE})
        return [many] * self._random.randrange(2, 5)

    def forged(self) -> list[Sending]:
        bot = self._bot()
        raw = json.dumps(self._order()).encode()
        at_s = _now_s()
        headers = self._random.choice(
            (
                {"X-Signature": sign("whsec_AAAA", at_s, raw)},
                {"X-Signature": sign(bot.secret, at_s, raw + b" ")},
                {"X-Signature": f"t={at_s},v1=zz"},
                {},
                self._standard(bot, raw + b" "),
            )
        )
        sent = {**headers, "X-Bot-Id": bot.bot_id}
        return [Sending("forged", "/webhooks/signals", raw, sent, frozenset({"bad_signature"}))]

    def unknown_bot(self) -> list[Sending]:
        raw = json.dumps(self._order()).encode()
        stranger = f"00000000-0000-7000-8000-{self._number:012d}"
        headers = {"X-Signature": sign("whsec_AAAA", _now_s(), raw), "X-Bot-Id": stranger}
        return [
            Sending("unknown bot", "/webhooks/signals", raw, headers, frozenset({"bad_signature"}))
        ]

    def unknown_token(self) -> list[Sending]:
        path = f"/webhooks/signals/nobody-{self._number}"
        raw = json.dumps({**self._order(), "secret": "whsec_AAAA"}).encode()
        return [Sending("unknown token", path, raw, {}, frozenset({"unknown_token"}))]

    def wrong_secret(self) -> list[Sending]:
        path = f"/webhooks/signals/{self._bot().token}"
        raw = json.dumps({**self._order(), "secret": "whsec_AAAA"}).encode()
        return [Sending("wrong secret", path, raw, {}, frozenset({"bad_secret"}))]

    def foreign(self) -> list[Sending]:
        bot = self._bot()
        others = [other for other in self._bots if other.tenant_id != bot.tenant_id]
        body = {**self._order(), "accountId": self._random.choice(others).account_id}
        return [self._sending("foreign", bot, body, {"unknown_account"})]

    def too_large(self) -> list[Sending]:
        bot = self._bot()
        raw = json.dumps({**self._order(), "x": "x" * BODY_BYTES_MAX}).encode()
        headers = {"X-Signature": sign(bot.secret, _now_s(), raw), "X-Bot-Id": bot.bot_id}
        chunked = self._random.random() < 0.5
        expected = frozenset({"payload_too_large"})
        return [Sending("too large", "/webhooks/signals", raw, headers, expected, chunked)]

    def unknown_symbol(self) -> list[Sending]:
        body = {**self._order(), "symbol": "NOPE"}
        return [self._sending("unknown symbol", self._bot(), body, {"unknown_symbol"})]

    def bad_fields(self) -> list[Sending]:
        wrong = self._random.choice(
            ({"quantity": -1}, {"action": "hold"}, {"orderType": "limit"}, {"surplus": 1},
             {"stopLoss": "1e9"}, {"symbol": 7}, {"quantity": "NaN"})
        )  # fmt: skip
        body = {**self._order(), **wrong}
        return [self._sending("bad fields", self._bot(), body, {"invalid_fields"})]

    def other_body(self) -> list[Sending]:
        """Use the id of a signal again with another body, signed by its own bot."""
        signed = [one for one, _ in self._accepted if "X-Signature" in one.headers]
        if not signed:
            return [self._good(self._bot())]
        first = self._random.choice(signed)
        bot = next(b for b in self._bots if b.bot_id == first.headers["X-Bot-Id"])
        raw = json.dumps({**json.loads(first.body), "clientId": str(self._number)}).encode()
        headers = {"X-Signature": sign(bot.secret, _now_s(), raw), "X-Bot-Id": bot.bot_id}
        expected = frozenset({"body_conflict"})
        return [Sending("other body", "/webhooks/signals", raw, headers, expected)]


_BAD: Mapping[str, Callable[[Traffic], list[Sending]]] = {
    "malformed": Traffic.malformed,
    "late": Traffic.late,
    "replayed": Traffic.replayed,
    "copies": Traffic.copies,
    "forged": Traffic.forged,
    "unknown bot": Traffic.unknown_bot,
    "unknown token": Traffic.unknown_token,
    "wrong secret": Traffic.wrong_secret,
    "foreign": Traffic.foreign,
    "too large": Traffic.too_large,
    "unknown symbol": Traffic.unknown_symbol,
    "bad fields": Traffic.bad_fields,
    "other body": Traffic.other_body,
}


def _now_s() -> int:
    return int(time.time())
