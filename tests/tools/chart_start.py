"""Starts a service's real binary with a configuration file that the chart rendered, until it is ready.

Listen addresses, paths and the database server are overridden, since those of a cluster are not here; everything
else is what the chart wrote. The database is one of its own on the test server.
"""

import base64
import contextlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request

import pymysql

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
READY_WITHIN = 60.0
STOPPED_WITHIN = 60.0

# A public key of nobody: enough to start, no token is made for it.
JWKS = {"keys": [{"kty": "EC", "crv": "P-256", "kid": "test", "alg": "ES256", "use": "sig",
                  "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="cwpp-chart-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def database():
    """The test server's URL, and the name of an empty database on it that goes at the end."""
    url = urllib.parse.urlsplit(os.environ["CWPP_TEST_MYSQL_URL"])
    name = f"cwpp_chart_{secrets.token_hex(6)}"

    def run(statement):
        connection = pymysql.connect(host=url.hostname, port=url.port or 3306, user=url.username,
                                     password=urllib.parse.unquote(url.password or ""))
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)

    run(f"CREATE DATABASE `{name}`")
    try:
        yield url, name
    finally:
        run(f"DROP DATABASE IF EXISTS `{name}`")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def content(path, url):
    """What a pod finds at a path of the configuration."""
    if path.startswith("/etc/cwpp/database/"):
        return urllib.parse.unquote(url.password or "")
    if path.startswith("/etc/cwpp/jwks/"):
        return json.dumps(JWKS)
    if path.endswith("signing.pem"):
        pkcs8 = bytes.fromhex("302e020100300506032b657004220420") + secrets.token_bytes(32)
        return f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(pkcs8).decode()}\n-----END PRIVATE KEY-----\n"
    return secrets.token_hex(32) + "\n"


def overrides(config, where, url, name):
    """`key=value` for everything of the rendered file that names a place in the cluster; writes the files."""
    made = {}

    def walk(table, prefix):
        for key, value in table.items():
            path = f"{prefix}{key}"
            if isinstance(value, dict):
                walk(value, f"{path}.")
            elif key == "listen":
                made[path] = f"127.0.0.1:{free_port()}"
            elif isinstance(value, str) and value.startswith(("/etc/cwpp/", "/var/run/secrets/", "/var/lib/cwpp")):
                file = pathlib.Path(where) / value.lstrip("/")
                if key.endswith("_dir"):
                    file.mkdir(parents=True, exist_ok=True)
                else:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(content(value, url))
                made[path] = str(file)

    walk(config, "")
    made.update({"database.host": url.hostname, "database.port": url.port or 3306, "database.user": url.username,
                 "database.name": name, "database.tls_mode": "required", "shutdown.lame_duck": "0s"})
    made.pop("database.tls_ca_file", None)
    return made


def readiness(address):
    try:
        with urllib.request.urlopen(f"http://{address}/readyz?verbose", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def to_ready(service, text):
    """Migrates, starts, waits until ready, stops; raises AssertionError with the log where one of them fails."""
    program = TARGET / f"cwpp-{service}"
    with folder() as where, database() as (url, name):
        file = pathlib.Path(where) / "config.toml"
        file.write_text(text)
        made = overrides(tomllib.loads(text), where, url, name)
        arguments = [program, "--config", file]
        for key, value in made.items():
            arguments += ["--set", f"{key}={value}"]
        migrated = subprocess.run([*arguments, "migrate", "up"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if migrated.returncode:
            raise AssertionError(f"migrate up ended with {migrated.returncode}\n{migrated.stdout}{migrated.stderr}")
        log = pathlib.Path(where) / "log"
        with log.open("w") as out:
            process = subprocess.Popen([*arguments, "serve"], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        try:
            end = time.monotonic() + READY_WITHIN
            status, said = 0, ""
            while time.monotonic() < end and process.poll() is None and status != 200:
                time.sleep(0.05)
                status, said = readiness(made["admin.listen"])
            if status != 200:
                raise AssertionError(f"not ready (status {status}, exit {process.poll()})\n{said}\n{log.read_text()[-4000:]}")
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=STOPPED_WITHIN)
            if code:
                raise AssertionError(f"ended with {code} after SIGTERM\n{log.read_text()[-4000:]}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
