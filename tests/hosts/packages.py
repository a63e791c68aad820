"""A package index with one small package, for what uv builds on hosts."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def serving(
    place: Path, address: str = "127.0.0.1", beside: Path | None = None
) -> Iterator[tuple[str, str]]:
    """Serve an index with one package; yield its URL and a lock's text that asks for it.

    With it comes what is installed in the folder ``beside``.
    """
    folder = place / "thing"
    folder.mkdir(parents=True)
    wheel = folder / "thing-1.0-py3-none-any.whl"
    info = "thing-1.0.dist-info"
    files = {
        "thing/__init__.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if beside is not None:
        files["thing.pth"] = f"{beside}\n"
    record = [f"{name},sha256={_record(text)},{len(text)}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    serve = functools.partial(_Quiet, directory=str(place))
    with http.server.ThreadingHTTPServer((address, 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        known = hashlib.sha256(wheel.read_bytes()).hexdigest()
        port = server.server_address[1]
        try:
            yield f"http://{address}:{port}", f"thing==1.0 \\\n    --hash=sha256:{known}\n"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _record(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def use(home: Path, url: str) -> None:
    """Let uv take this index where ``home`` is the HOME."""
    config = home / ".config" / "uv"
    config.mkdir(parents=True, exist_ok=True)
    (config / "uv.toml").write_text(f'index-url = "{url}"\n')
