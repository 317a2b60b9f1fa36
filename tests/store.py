"""An S3 server of this machine, for tests: `moto`, on loopback."""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Iterator

from moto.server import ThreadedMotoServer
from upath import UPath

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "essai", "AWS_SECRET_ACCESS_KEY": "essai", "AWS_DEFAULT_REGION": "us-east-1"}


@contextlib.contextmanager
def store() -> Iterator[dict[str, str]]:
    """A server until the block ends; yields the variables that name it, which are set meanwhile."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = ENVIRONMENT | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    former = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield variables
    finally:
        for name, value in former.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        server.stop()


def new_bucket() -> str:
    """The address of an empty bucket."""
    address = f"s3://seau-{uuid.uuid4().hex[:12]}"
    UPath(address).mkdir()
    return address
