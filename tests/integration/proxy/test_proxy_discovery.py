"""Services found by a file and by a real DNS server, and reached through a real proxy."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from meshwise.contracts.errors import ConfigError
from meshwise.contracts.snapshot import Endpoint
from meshwise.proxy.discovery.merging import Merging
from meshwise.proxy.discovery.watcher import Discovery
from meshwise.proxy.net.dns import ResolveError, Resolver, server_of
from support.data_path import Upstream, outbound, snapshot, until
from support.dns_server import DnsServer


def write(path: Path, **clusters: object) -> None:
    """Write the file as an editor does: whole, under another name first."""
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump({"clusters": clusters}))
    fresh.replace(path)


async def test_the_file_is_followed(tmp_path: Path) -> None:
    """Endpoints of the file are called; a change takes effect, a wrong one does not; control's stay control's."""
    path = tmp_path / "services.yaml"
    async with Upstream() as old, Upstream() as new, Upstream() as own, outbound({}) as mesh:
        write(path, legacy={"endpoints": [{"id": "a", "host": "127.0.0.1", "port": old.port}]})
        front = Merging(mesh.proxy, "frontend")
        discovery = Discovery(path, Resolver("127.0.0.1:1"), front.discover, look_s=0.02)
        discovery.start()
        try:
            assert (await mesh.request("GET", "legacy")).status == 200
            front.apply(snapshot({"catalog": [own.port]}, version=5))
            assert (await mesh.request("GET", "legacy")).status == 200
            assert (await mesh.request("GET", "catalog")).status == 200
            path.write_text("clusters: {legacy: {endpoints: 7}}")
            write(path, legacy={"endpoints": [{"id": "a", "host": "127.0.0.1", "port": new.port}]}, catalog={})
            await until(lambda: mesh.proxy.clusters()["legacy"]["endpoints"][0]["port"] == new.port)
            assert (await mesh.request("GET", "legacy")).status == 200
            assert (await mesh.request("GET", "catalog")).status == 200
            assert (len(old.arrivals), len(new.arrivals), len(own.arrivals)) == (2, 1, 2)
        finally:
            await discovery.stop()


async def test_names_are_asked_for_again_when_their_time_is_up(tmp_path: Path) -> None:
    """An address of one second is asked for again after it, and the new endpoint called."""
    path = tmp_path / "services.yaml"
    async with Upstream() as app, DnsServer() as dns, outbound({}) as mesh:
        write(path, search={"dns": {"name": "search.test", "port": app.port}})
        dns.records["search.test", "a"] = [("127.0.0.9", 1)]
        discovery = Discovery(path, Resolver(dns.address), Merging(mesh.proxy, "frontend").discover)
        discovery.start()
        try:
            await until(lambda: mesh.proxy.clusters()["search"]["endpoints"])
            assert mesh.proxy.clusters()["search"]["endpoints"][0]["host"] == "127.0.0.9"
            dns.records["search.test", "a"] = [("127.0.0.1", 60)]
            await until(lambda: mesh.proxy.clusters()["search"]["endpoints"][0]["host"] == "127.0.0.1")
            assert (await mesh.request("GET", "search")).status == 200
            assert len(dns.asked) == 2
        finally:
            await discovery.stop()


async def test_services_bring_ports_and_levels(tmp_path: Path) -> None:
    """SRV records are followed to their targets' addresses, of either family."""
    path = tmp_path / "services.yaml"
    given: list[Mapping[str, tuple[Endpoint, ...]]] = []
    async with DnsServer() as dns:
        write(path, ledger={"dns": {"name": "_ledger._tcp.test", "type": "srv"}})
        dns.records["_ledger._tcp.test", "srv"] = [((1, 5, 8080, "one.test"), 60), ((2, 5, 8081, "two.test"), 60)]
        dns.records["one.test", "a"] = [("10.0.0.1", 60)]
        dns.records["two.test", "aaaa"] = [("2001:db8::2", 60)]
        discovery = Discovery(path, Resolver(dns.address), given.append)
        discovery.start()
        try:
            await until(lambda: given and given[-1]["ledger"])
            found = [(e.host, e.port, e.priority) for e in given[-1]["ledger"]]
            assert found == [("10.0.0.1", 8080, 0), ("2001:db8::2", 8081, 1)]
        finally:
            await discovery.stop()


async def test_a_cut_answer_is_asked_for_over_tcp() -> None:
    """More records than a datagram holds arrive whole."""
    async with DnsServer() as dns:
        dns.cut = True
        dns.records["many.test", "a"] = [(f"10.0.{n // 250}.{n % 250}", 60) for n in range(600)]
        assert len((await Resolver(dns.address).ask("many.test", "a")).records) == 600
        assert [transport for _, _, transport in dns.asked] == ["udp", "tcp"]


async def test_a_silent_server_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two tries; what was known stays, since nothing is said."""
    monkeypatch.setattr("meshwise.proxy.net.dns.TIMEOUT_S", 0.05)
    async with DnsServer() as dns:
        dns.mute = True
        with pytest.raises(ResolveError, match=f"{dns.address} about x.test: no answer within"):
            await Resolver(dns.address).ask("x.test", "a")


def test_which_server_is_asked(tmp_path: Path) -> None:
    """The one named, else the first of the system's."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("# x\nsearch test\nnameserver 10.1.1.1\nnameserver 10.1.1.2\n")
    assert server_of("", conf) == ("10.1.1.1", 53)
    assert server_of("", tmp_path / "none") == ("127.0.0.1", 53)
    assert server_of("10.0.0.1:5353") == ("10.0.0.1", 5353)
    assert server_of("[2001:db8::1]:53") == ("2001:db8::1", 53)


def test_a_wrong_file_at_the_start_is_one_clear_line(tmp_path: Path) -> None:
    """Missing, no YAML, or a mistake in it: the file is named, and the place."""
    path = tmp_path / "services.yaml"
    for text, words in (
        (None, "cannot be read"),
        ("{", "is wrong"),
        ("clusters: {a: {endpoints: 7}}", "clusters.a.endpoints"),
    ):
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            Discovery(path, Resolver("127.0.0.1:1"), lambda _: None).start()
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
