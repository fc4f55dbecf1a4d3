import socket

import pytest

from curation.urls import public_suffixes, registered_domain


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.mill.example.co.uk/a?b#c", "example.co.uk"),
        ("http://MILL.COM:8080/", "mill.com"),
        ("http://user:word@sub.mill.com./", "mill.com"),
        ("https://sub.mill.example/", "mill.example"),
        ("https://www.münchen.de/", "xn--mnchen-3ya.de"),
        ("https://www.xn--mnchen-3ya.de/", "xn--mnchen-3ya.de"),
        ("https://blog.github.io/", "github.io"),
        ("http://192.0.2.7/x", "192.0.2.7"),
        ("http://[2001:DB8::1]:80/x", "2001:db8::1"),
        ("https://1000mills.org/", "1000mills.org"),
        ("//mill.com/x", "mill.com"),
        ("http://co.uk/", ""),
        ("http://localhost/", ""),
        ("mill.com", ""),
        ("", ""),
        ("http://", ""),
        ("http://[::1", ""),
        ("http://a..b/", ""),
        ("http://" + "a" * 100 + ".com/", ""),
        ("http://\ud800.com/", ""),
        ("javascript:alert(1)", ""),
        ("urn:uuid:0", ""),
        ("dns:mill.com", ""),
        ("\0\n", ""),
    ],
)
def test_registered_domain(url, domain):
    assert registered_domain(url) == domain


def test_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    public_suffixes.cache_clear()
    assert registered_domain("https://a.b.mill.com.br/") == "mill.com.br"
