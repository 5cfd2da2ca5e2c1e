"""The real image registry (Debian's `docker-registry`), where the machine has it, and an image pushed to it."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

PROGRAM = shutil.which("docker-registry") or shutil.which("registry")
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@contextmanager
def running_docker_registry(folder: Path) -> Iterator[str]:
    """Its `host:port`, until the block ends."""
    assert PROGRAM is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "registry.yml"
    store = folder / "store"
    config.write_text(f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {store}\nhttp:\n  addr: {host}\n")
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(config)], stdout=log, stderr=log)
        try:
            _wait(process, host)
            yield host
        finally:
            process.terminate()
            process.wait(20)


def push(host: str, repository: str, tag: str) -> str:
    """Pushes an image of one small file, and gives its digest."""
    config = json.dumps({"architecture": "amd64", "os": "linux"}).encode()
    layer = b"a layer"
    parts = [_upload(host, repository, data) for data in (config, layer)]
    kinds = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar")
    described = [
        {"mediaType": kind, "size": len(data), "digest": digest}
        for kind, data, digest in zip(kinds, (config, layer), parts, strict=True)
    ]
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": described[0], "layers": described[1:]}
    ).encode()
    url = f"http://{host}/v2/{repository}/manifests/{tag}"
    requests.put(url, data=manifest, headers={"Content-Type": MANIFEST_TYPE}, timeout=20).raise_for_status()
    return _digest(manifest)


def _upload(host: str, repository: str, data: bytes) -> str:
    begun = requests.post(f"http://{host}/v2/{repository}/blobs/uploads/", timeout=20)
    begun.raise_for_status()
    place, digest = begun.headers["Location"], _digest(data)
    place = place if place.startswith("http") else f"http://{host}{place}"
    requests.put(place, params={"digest": digest}, data=data, timeout=20).raise_for_status()
    return digest


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _wait(process: subprocess.Popen[bytes], host: str) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            if requests.get(f"http://{host}/v2/", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise RuntimeError("the image registry did not start")
