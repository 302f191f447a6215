"""Tokens and TLS, against real servers."""
import asyncio
import os
import time
import unittest

import trustme

import spandrel
from real import K, Server, assert_expected, made

TOKEN = "0123456789abcdef"


def in_folder(name, content):
    path = os.path.join(made().folder, name)
    with open(path, "wb") as file:
        file.write(content)
    return path


async def _with_asyncio(queries, where, how):
    async with spandrel.AsyncClient(where, **how) as client:
        return await client.search(queries, K)


def both(queries, where, **how):
    """What both clients answer, or why neither does: the same."""
    outcomes = []
    with spandrel.Client(where, **how) as client:
        for ask in (lambda: client.search(queries, K), lambda: asyncio.run(_with_asyncio(queries, where, how))):
            try:
                outcomes.append(ask())
            except spandrel.SpandrelError as error:
                outcomes.append(error)
    blocking, with_asyncio = outcomes
    assert type(blocking) is type(with_asyncio), outcomes
    if isinstance(blocking, spandrel.Answers):
        assert_expected(with_asyncio)
    return blocking


class Tokens(unittest.TestCase):
    def test_a_call_needs_a_token_of_its_scope(self):
        tokens = in_folder("tokens", f"search {TOKEN}\n".encode())
        query = made().queries[0]
        with Server("--index", f"vectors={made().index}", "--tokens", tokens) as server:
            for token in (None, "0123456789abcdeX"):
                self.assertIsInstance(both(query, server.address, token=token), spandrel.PermissionDenied)
                with spandrel.Client(server.address, token=token) as client:
                    with self.assertRaises(spandrel.PermissionDenied):
                        list(client.search_stream([query]))
            assert_expected(both(made().queries, server.address, token=TOKEN))
            with spandrel.Client(server.address, token=TOKEN) as client:
                with self.assertRaises(spandrel.PermissionDenied):
                    client.switch("vectors")


class Encrypted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        authority, other = trustme.CA(), trustme.CA()
        served, client = authority.issue_cert("localhost"), authority.issue_cert("client")
        cls.ca = in_folder("ca.pem", authority.cert_pem.bytes())
        cls.other_ca = in_folder("other.pem", other.cert_pem.bytes())
        cls.certificate = in_folder("client.pem", client.cert_chain_pems[0].bytes())
        cls.key = in_folder("client.key", client.private_key_pem.bytes())
        cls.other_key = in_folder("other.key", served.private_key_pem.bytes())
        cls.flags = ["--index", f"vectors={made().index}"]
        cls.flags += ["--tls-certificate", in_folder("server.pem", served.cert_chain_pems[0].bytes())]
        cls.flags += ["--tls-key", in_folder("server.key", served.private_key_pem.bytes())]

    def refuses(self, address, tls, why):
        # Tried again, it would take all of this time.
        begun = time.monotonic()
        error = both(made().queries[0], address, tls=tls, timeout=20.0, retry=spandrel.Retry(1000))
        self.assertIsInstance(error, spandrel.TlsFailed)
        self.assertIn(why, error.message)
        self.assertLess(time.monotonic() - begun, 15.0)

    def test_the_server_is_checked(self):
        with Server(*self.flags) as server:
            assert_expected(both(made().queries, server.address, tls=spandrel.Tls(ca=self.ca, name="localhost")))
            plain = both(made().queries[0], server.address, timeout=2.0, retry=spandrel.Retry(2))
            self.assertIsInstance(plain, spandrel.Unavailable)
            self.refuses(server.address, spandrel.Tls(ca=self.ca), "for another name")
            self.refuses(server.address, spandrel.Tls(ca=self.ca, name="elsewhere"), "for another name")
            self.refuses(server.address, spandrel.Tls(ca=self.other_ca, name="localhost"), "not trusted here")
        with Server(*self.flags[:2]) as server:
            self.refuses(server.address, spandrel.Tls(ca=self.ca, name="localhost"), "does not speak TLS")

    def test_the_client_is_checked(self):
        with Server(*self.flags, "--tls-client-ca", self.ca) as server:
            right = spandrel.Tls(ca=self.ca, certificate=self.certificate, key=self.key, name="localhost")
            assert_expected(both(made().queries, server.address, tls=right))
            self.refuses(server.address, spandrel.Tls(ca=self.ca, name="localhost"), "has no certificate")
            other = spandrel.Tls(ca=self.ca, certificate=self.certificate, key=self.other_key, name="localhost")
            self.refuses(server.address, other, "not with each other")


if __name__ == "__main__":
    unittest.main()
