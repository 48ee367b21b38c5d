"""Files of results: whether they can be written is known before the work, not after it."""

from pathlib import Path

from quantlab_server.refusal import Refusal


def check_places(**files: Path | None) -> None:
    """Refuse files, by the names of their options, that are folders or lie in no folder."""
    for option, file in files.items():
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise Refusal(f"--{option}: expected a file in a folder that is there, was {file}")


def write_results(file: Path, text: str) -> None:
    """Write a text; Refusal where that cannot be done."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{file} cannot be written: {error.strerror}") from error
