"""The machine's clock and its source of randomness."""

import os
import secrets
import time


class SystemClock:
    """Clock port: the wall clock."""

    def now_ns(self) -> int:
        return time.time_ns()  # noqa: TID251 - this is the port


class SystemIds:
    """Ids port: UUID version 7 and the operating system's randomness."""

    def new_id(self) -> str:
        milliseconds = time.time_ns() // 1_000_000  # noqa: TID251 - this is the port
        value = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
        value = (value & ~(0xF << 76)) | (7 << 76)
        value = (value & ~(0x3 << 62)) | (2 << 62)
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def token(self, size_bytes: int) -> str:
        return secrets.token_urlsafe(size_bytes)

    def random_bytes(self, size_bytes: int) -> bytes:
        return os.urandom(size_bytes)
