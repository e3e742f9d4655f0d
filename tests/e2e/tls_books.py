"""HTTP over TLS inside one process, with books: tls_books.py CERTIFICATE KEY writes books.json. The first server and client
give the library their sockets; the second ones (asyncio) move the encrypted bytes by themselves."""
import asyncio
import http.client
import http.server
import json
import ssl
import sys
import threading

SYNC, ASYNC = 40, 25


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"x" * (int(self.path.rsplit("/", 1)[1]) * 400)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def contexts():
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(sys.argv[1], sys.argv[2])
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(sys.argv[1])
    return server, client


def by_sockets(server_context, client_context):
    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    server.daemon_threads = False
    server.socket = server_context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    client = http.client.HTTPSConnection("localhost", server.server_port, context=client_context)
    for i in range(SYNC):
        client.request("GET", f"/sync/{i}")
        assert len(client.getresponse().read()) == i * 400
    client.close()
    server.shutdown()
    thread.join()
    server.server_close()


async def answer(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


async def by_memory(server_context, client_context):
    server = await asyncio.start_server(answer, "localhost", 0, ssl=server_context)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("localhost", port, ssl=client_context)
    for i in range(ASYNC):
        writer.write(b"GET /async/%d HTTP/1.1\r\nHost: service.example\r\n\r\n" % i)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
    server.close()
    await asyncio.sleep(0.1)


def main():
    by_sockets(*contexts())
    asyncio.run(by_memory(*contexts()))
    with open("books.json", "w") as out:
        json.dump({"/sync/{id}": SYNC, "/async/{id}": ASYNC}, out)
    print("done")


main()
