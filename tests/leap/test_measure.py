import socket
import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from leap.measure import scrape, total


def test_what_a_process_shows_is_read_back() -> None:
    registry = CollectorRegistry()
    done = Counter("done", "things", ["how"], registry=registry)
    done.labels("well").inc(3)
    done.labels("badly").inc(4)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        samples = scrape(f"http://127.0.0.1:{server.server_port}/metrics")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert total(samples, "done_total", how="well") == 3
    assert total(samples, "done_total") == 7


def test_what_is_no_web_server_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"-ERR what?\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OSError, match="BadStatusLine"):
            scrape(f"http://127.0.0.1:{server.getsockname()[1]}/metrics")
        thread.join()
