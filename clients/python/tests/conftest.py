import asyncio
import tempfile

import pytest
import scripted


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory() as made:
        yield made


@pytest.fixture
def serve(folder):
    """serve(answer) -> a scripted server, closed at the end."""
    servers = []

    def start(answer, preface=None):
        servers.append(scripted.Server(folder, answer, preface))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def run():
    return asyncio.run
