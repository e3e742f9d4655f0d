#!/usr/bin/env python3
"""Records both byte streams of connections that a real client makes to a real server, for tests/unit/data.

  record_streams.py SERVER OUT COMMAND...

SERVER is host:port or the path of a unix socket. A proxy listens on a port (PROXY_PORT in COMMAND's environment) and, if
SERVER is a path, on a unix socket of the same file name in PROXY_DIR. COMMAND runs until it ends; each connection it
made is written to OUT, or OUT.2, OUT.3, ...: a byte of way ('>' to the server, '<' to the client), four bytes of length,
little-endian, the bytes, for every piece that was read.
"""
import os
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import threading


def dial(server):
    if ":" in server:
        host, port = server.rsplit(":", 1)
        return socket.create_connection((host, int(port)))
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(server)
    return peer


def carry(client, server, path):
    peer = dial(server)
    other = {client: (peer, b">"), peer: (client, b"<")}
    poll = selectors.DefaultSelector()
    for end in other:
        poll.register(end, selectors.EVENT_READ)
    with open(path, "wb") as out:
        while poll.get_map():
            for key, _ in poll.select():
                to, way = other[key.fileobj]
                data = key.fileobj.recv(65536)
                if not data:
                    poll.unregister(key.fileobj)
                    try:
                        to.shutdown(socket.SHUT_WR)
                    except OSError:
                        poll.close()
                        return
                    continue
                out.write(way + struct.pack("<I", len(data)) + data)
                to.sendall(data)


def accept_all(listener, server, out, threads, lock):
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with lock:
            path = out if not threads else f"{out}.{len(threads) + 1}"
            thread = threading.Thread(target=carry, args=(client, server, path), daemon=True)
            threads.append(thread)
            thread.start()


def main(argv):
    if len(argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    server, out, command = argv[1], argv[2], argv[3:]
    threads, lock = [], threading.Lock()
    with tempfile.TemporaryDirectory() as directory:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners = [listener]
        environment = dict(os.environ, PROXY_PORT=str(listener.getsockname()[1]), PROXY_DIR=directory)
        if ":" not in server:
            path = socket.socket(socket.AF_UNIX)
            path.bind(os.path.join(directory, os.path.basename(server)))
            path.listen()
            listeners.append(path)
        for each in listeners:
            threading.Thread(target=accept_all, args=(each, server, out, threads, lock), daemon=True).start()
        status = subprocess.run(command, env=environment, check=False).returncode
        for thread in threads:
            thread.join(5)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
