"""Starts a service's real binary with a configuration file that the chart rendered, until it is ready.

Listen addresses and paths are overridden, and the database is one of its own on the test server; everything
else is what the chart wrote.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="cwpp-chart-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
