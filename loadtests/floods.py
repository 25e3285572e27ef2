"""What floods of strangers and of mad peers cost honest traffic: ``python -m loadtests.floods``.

The real hub carries honest traffic in an open loop: texts of an account to a link, and texts of a link to a desk, each
at a fifth of the peak that was measured first (together about half of what the hub can do: mixed and paced, a text
costs more). It is measured alone (A) and beside each flood (B), in turns A B A B, and the medians are compared: *kept*
is B's throughput over A's at the same offered load. Beside that: p99 of the acknowledgements; the hub's CPU alone,
beside the flood, and under the flood without any honest traffic, which is the figure to believe on a machine that has
much else to do; memory, descriptors and log lines; what an honest ESME that binds anew has to wait; and what the flood
did, and took of the machine itself.

The strangers are a process of their own (``loadtests.strangers``), bounded in rate: on two cores that the hub, the load
tools and the strangers share, an unbounded one would measure the scheduler. ``--per-s`` scales all rates.

Figures go to ``var/floods.json``. ``--only NAME`` (more than once) takes some floods, ``--list`` tells their names.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from loadtests.processes import HELPLINE, PASSWORD, ROOT, HubProcess, Place, Tool, ToolFailed, free_ports

BINDS = 4
WINDOW = 250
SOURCE_WINDOW = 1000
PEAK_COUNT = 15_000
SHARE = 0.2  # of each peak: together about half of what the hub can do, since mixed and paced texts cost more each
SETTLE_S = 0.5  # between the flood's begin and the honest load's, and after its end
LATE_S = 20.0  # how long after its end a load may still arrive
KEPT = 0.9
ALONE_S = 1.0  # of the flood without honest traffic, for what it costs the hub
VISIT_S = 0.25
VISITOR_ADDRESS = "127.0.0.3"

PORTS = """[smpp]
tls_port = {tls_port}
tls_cert_file = "{folder}/cert.pem"
tls_key_file = "{folder}/key.pem"
"""
MORE = """
[api]
port = {api_port}
[[account]]
system_id = "visitor"
password = "{password}"
max_binds = 50
[[account]]
system_id = "mad"
password = "{password}"
max_binds = 50
[[account]]
system_id = "agreed"
password = "{password}"
max_binds = 50
throughput_per_s = 100
[[account]]
system_id = "single"
password = "{password}"
max_binds = 1
[[link]]
name = "other"
host = "127.0.0.1"
port = {other_port}
system_id = "hub"
password = "{password}"
window = 1000
[[route]]
prefix = "+1777"
endpoint = "link:other"
[[call_centre]]
name = "mad"
[[desk]]
name = "mad"
call_centre = "mad"
domain = "mad.example.net"
host = "127.0.0.1"
port = {mad_port}
secret = "{password}"
director = "mad@desk.example"
allowed_domains = ["desk.example"]
"""
WRONG_KEY = "authorization: bearer smshub_" + "a" * 58 + "\r\n"


class Flood(msgspec.Struct, frozen=True):
    """One kind of flood.

    Attributes:
        name: for ``--only`` and the table.
        arguments: of the strangers' command ``flood``; ``port`` is a name: smpp, tls, metrics, api.
        per_s: how many of its kind a second.
        about: what it is.
    """

    name: str
    about: str
    per_s: float
    arguments: dict[str, Any]


def _binds(**more: Any) -> dict[str, Any]:
    return {"kind": "binds", "port": "smpp", "system_id": "load", "password": "wrongpwd", **more}


def _session(what: str, system_id: str = "mad") -> dict[str, Any]:
    return {"kind": "session", "port": "smpp", "system_id": system_id, "password": PASSWORD, "what": what}


def _xml(what: str) -> dict[str, Any]:
    return {"kind": "xml", "what": what, "domain": "mad.example.net"}


def _http(port: str, path: str, **more: Any) -> dict[str, Any]:
    return {"kind": "http", "port": port, "path": path, **more}


FLOODS: Final = tuple(
    Flood(*each)
    for each in (
        ("binds-wrong", "binds with a wrong password, from one address", 500, _binds()),
        ("binds-wrong-everywhere", "the same, each from another address", 500, _binds(everywhere=True)),
        ("binds-unknown", "binds of names that nobody has", 500, _binds(unknown=True)),
        ("binds-unknown-everywhere", "the same, each from another address", 500, _binds(unknown=True, everywhere=True)),
        ("binds-beyond", "right password, beyond max_binds", 500, _binds(system_id="single", password=PASSWORD)),
        ("half-open", "connections that never bind, from one address", 2000, {"kind": "half-open", "port": "smpp"}),
        (
            "half-open-everywhere",
            "the same, each from another address",
            2000,
            {"kind": "half-open", "port": "smpp", "everywhere": True},
        ),
        ("drip", "binds of an octet a second", 1, {"kind": "drip", "port": "smpp"}),
        ("drip-tls", "TLS hellos of an octet a second", 1, {"kind": "drip", "port": "tls", "tls": True}),
        ("churn", "connections that come and go", 2000, {"kind": "churn", "port": "smpp"}),
        (
            "churn-everywhere",
            "the same, each from another address",
            2000,
            {"kind": "churn", "port": "smpp", "everywhere": True},
        ),
        ("lengths", "senseless and endless command_lengths", 1000, {"kind": "lengths", "port": "smpp"}),
        ("giant-tlvs", "submit_sm with a TLV of 65,535 octets", 1000, _session("giant-tlvs")),
        ("many-tlvs", "submit_sm with 16,000 TLVs", 500, _session("many-tlvs")),
        ("enquire", "enquire_link from a bound account", 50_000, _session("enquire")),
        ("unknown-pdus", "PDUs of no known kind from a bound account", 50_000, _session("unknown")),
        ("submits-agreed", "submit_sm beyond an account's throughput_per_s", 20_000, _session("submits", "agreed")),
        ("submits", "submit_sm of an account without a limit", 20_000, _session("submits")),
        ("xml-bomb", "document types and entities from a desk's server", 1000, _xml("bomb")),
        ("xml-deep", "endless depth", 1000, _xml("deep")),
        ("xml-huge", "stanzas of 500 KB", 200, _xml("huge")),
        ("xml-wide", "stanzas of 20,000 elements", 50, _xml("wide")),
        ("xml-iq", "questions that nobody answers", 20_000, _xml("iq")),
        ("xml-presence", "presence", 20_000, _xml("presence")),
        ("xml-texts", "texts that are refused", 20_000, _xml("texts")),
        ("api-no-key", "requests without a key", 1000, _http("api", "/v1/numbers")),
        ("api-wrong-key", "requests with a wrong key", 1000, _http("api", "/v1/numbers", headers=WRONG_KEY)),
        (
            "api-bodies",
            "bodies of 4 MB without a key",
            100,
            _http("api", "/v1/numbers", method="POST", body=4_000_000, headers=WRONG_KEY),
        ),
        ("api-crowd", "connections that ask once or never", 1000, {"kind": "http-crowd", "port": "api", "path": "/"}),
        ("api-drip", "heads and bodies of an octet a second", 1, {"kind": "http-drip", "port": "api"}),
        ("metrics-page", "the page of metrics", 1000, _http("metrics", "/metrics")),
    )
)


class Scene:
    """The hub, its peers and the strangers.

    Args:
        stack: closes it all.
        directory: thrown away.
    """

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.ports = dict(zip(("tls", "metrics", "api", "other", "mad"), free_ports(5), strict=True))
        _make_certificate(directory)
        words = {"folder": directory, "password": PASSWORD, **{f"{name}_port": at for name, at in self.ports.items()}}
        place = Place(directory, more=MORE.format(**words))
        text = place.config.read_text().replace("[metrics]\nport = 0", f"[metrics]\nport = {self.ports['metrics']}")
        place.config.write_text(text.replace("[smpp]\n", PORTS.format(**words), 1))
        self.ports["smpp"] = place.smpp_port
        self.carrier, self.other = (stack.enter_context(Tool("loadtests.smsc_sink")) for _ in range(2))
        self.desk = stack.enter_context(Tool("loadtests.component_sink"))
        self.esme = stack.enter_context(Tool("loadtests.esme"))
        self.strangers, self.visitor = (stack.enter_context(Tool("loadtests.strangers")) for _ in range(2))
        self.carrier.ask("listen", port=place.carrier_port)
        self.other.ask("listen", port=self.ports["other"])
        self.desk.ask("listen", port=place.desk_port)
        self.strangers.ask("listen", port=self.ports["mad"])
        self.hub = stack.enter_context(HubProcess(place))
        for peer in (self.carrier, self.other, self.desk):
            peer.ask("bound")
        self.esme.ask("bind", port=place.smpp_port, binds=BINDS, system_id="load", password=PASSWORD)
        self._customers = 0

    def customers(self, count: int) -> int:
        """The first of so many customers that nobody used yet."""
        first, self._customers = self._customers, self._customers + count
        return first

    def peaks(self, count: int = PEAK_COUNT) -> tuple[float, float]:
        """Texts a second that the hub takes at its best: account to link, link to desk."""
        self.reset()
        self.carrier.tell("expect", count=count, within_s=120)
        sent = self.esme.ask("load", 120, count=count, window=WINDOW, customer=self.customers(count))
        to_link = count / (self.carrier.answer(150)["last"] - sent["first"])
        self.desk.tell("expect", count=count, within_s=120)
        sent = self.carrier.ask("load", 120, count=count, **self._to_desk(count), window=SOURCE_WINDOW)
        return to_link, count / (self.desk.answer(150)["last"] - sent["first"])

    def reset(self) -> None:
        """Forget what arrived."""
        self.carrier.ask("reset")
        self.desk.ask("reset")

    def honest(self, rates: tuple[float, float], seconds: float) -> dict[str, float]:
        """Offer both loads for so long."""
        counts = [max(1, int(rate * seconds)) for rate in rates]
        self.reset()
        log, cpu, begun = self.hub.log.stat().st_size, self.hub.cpu_s(), time.monotonic()
        within_s = seconds + LATE_S
        self.carrier.tell("load", count=counts[1], rate=rates[1], **self._to_desk(counts[1]), within_s=within_s)
        self.desk.tell("expect", count=counts[1], within_s=within_s)
        first = self.customers(counts[0])
        to_link = self.esme.ask("load", within_s, count=counts[0], rate=rates[0], customer=first)
        to_desk = self.carrier.answer(within_s + 10)
        at_link = self.carrier.ask("expect", LATE_S, count=counts[0])
        at_desk = self.desk.answer(within_s + LATE_S)
        took = time.monotonic() - begun
        self.hub_is_alive()
        return {
            "to_link_per_s": _rate(at_link, to_link["first"], seconds),
            "to_desk_per_s": _rate(at_desk, to_desk["first"], seconds),
            "lost": float(sum(counts) - at_link["count"] - at_desk["count"]),
            "to_link_p99_ms": to_link["p99_ms"],
            "to_desk_p99_ms": to_desk["p99_ms"],
            "cpu_share": (self.hub.cpu_s() - cpu) / took,
            "memory_mb": self.hub.memory_mb(),
            "log_lines_per_s": self.hub.log.read_bytes()[log:].count(b"\n") / took,
        }

    def beside(self, flood: Flood, scale: float, rates: tuple[float, float], seconds: float) -> dict[str, Any]:
        """Offer both loads beside a flood."""
        arguments = {**flood.arguments, "per_s": flood.per_s * scale, "seconds": seconds + LATE_S * 2}
        if "port" in arguments:
            arguments["port"] = self.ports[arguments["port"]]
        self.strangers.ask("flood", **arguments)
        visit = {"port": self.ports["smpp"], "system_id": "visitor", "password": PASSWORD, "source": VISITOR_ADDRESS}
        self.visitor.ask("visit", **visit, every_s=VISIT_S, seconds=seconds + LATE_S * 2)
        time.sleep(SETTLE_S)
        cpu, begun = self.hub.cpu_s(), time.monotonic()
        time.sleep(ALONE_S)
        cost = (self.hub.cpu_s() - cpu) / (time.monotonic() - begun)
        found: dict[str, Any] = {"flood_cost": cost, **self.honest(rates, seconds)}
        found["descriptors"] = float(len(os.listdir(f"/proc/{self.hub.child.pid}/fd")))
        visits, did = self.visitor.ask("stop"), self.strangers.ask("stop")
        time.sleep(SETTLE_S)
        found["visits"] = visits["done"].get("asked", 0)
        found["visits_bound"] = visits["done"].get("bound", 0)
        found["visit_max_ms"] = visits["max_ms"]
        found["flood"] = {key: round(count / did["seconds"], 1) for key, count in did["done"].items()}
        found["flood_cpu_share"] = did["cpu_share"]
        return found

    def hub_is_alive(self) -> None:
        """Raises: ToolFailed."""
        if self.hub.child.poll() is not None:
            raise ToolFailed(f"the hub ended:\n{self.hub.tail()}")

    def _to_desk(self, count: int) -> dict[str, Any]:
        return {"customer": self.customers(count), "destination": HELPLINE.removeprefix("+")}


def _rate(arrived: dict[str, float], first: float, seconds: float) -> float:
    """Arrivals a second of the offered time; what comes late stretches it."""
    return arrived["count"] / max(arrived["last"] - first, seconds)


def _make_certificate(folder: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise SystemExit("openssl is missing: it makes the certificate of the TLS port")
    names = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-subj", "/CN=localhost"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([openssl, "req", "-x509", *curve, "-days", "2", *names], check=True, capture_output=True, timeout=60)


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The median of each figure that is a number."""
    return {
        key: statistics.median(run[key] for run in runs)
        for key, value in runs[0].items()
        if isinstance(value, int | float)
    }


def verdict(alone: dict[str, float], beside: dict[str, float]) -> dict[str, float]:
    """What honest traffic keeps beside a flood, as shares of what it has alone."""
    return {
        "kept_to_link": beside["to_link_per_s"] / alone["to_link_per_s"],
        "kept_to_desk": beside["to_desk_per_s"] / alone["to_desk_per_s"],
    }


def show(name: str, alone: dict[str, float], beside: dict[str, Any], did: dict[str, float]) -> None:
    """Print one flood's line, and what it did."""
    kept = verdict(alone, beside)
    mark = "  " if min(kept.values()) >= KEPT else "!!"
    print(
        f"{mark} {name:26} kept {kept['kept_to_link']:6.1%} {kept['kept_to_desk']:6.1%}"
        f"  p99 {alone['to_link_p99_ms']:6.1f} -> {beside['to_link_p99_ms']:7.1f} ms,"
        f" {alone['to_desk_p99_ms']:6.1f} -> {beside['to_desk_p99_ms']:7.1f} ms"
        f"  CPU {alone['cpu_share']:4.2f} -> {beside['cpu_share']:4.2f}, flood alone {beside['flood_cost']:4.2f}"
        f" (strangers {beside['flood_cpu_share']:4.2f})"
        f"  {beside['memory_mb']:4.0f} MB {beside['descriptors']:4.0f} fds {beside['log_lines_per_s']:6.1f} lines/s"
        f"  binds {beside['visits_bound']:.0f}/{beside['visits']:.0f} max {beside['visit_max_ms']:.0f} ms",
        flush=True,
    )
    print(f"     {did}", flush=True)


def table(report: dict[str, Any]) -> str:
    """A report as lines of Markdown."""
    lines = [
        "| flood | a second | kept, link and desk | p99 alone → beside, ms | flood's cost, cores | binds | lines/s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for flood in report["floods"].values():
        alone, beside = medians(flood["alone"]), medians(flood["beside"])
        asked, bound = (sum(run[key] for run in flood["beside"]) for key in ("visits", "visits_bound"))
        lines.append(
            f"| {flood['about']} | {flood['per_s']:,.0f} | {flood['kept_to_link']:.0%}, {flood['kept_to_desk']:.0%}"
            f" | {alone['to_link_p99_ms']:,.0f} → {beside['to_link_p99_ms']:,.0f} | {beside['flood_cost']:.2f}"
            f" | {bound} of {asked} | {beside['log_lines_per_s']:.0f} |"
        )
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [flood.name for flood in FLOODS]
    parser.add_argument("--only", choices=names, action="append", metavar="NAME", help="only this; more than once")
    parser.add_argument("--after", choices=names, metavar="NAME", help="only those behind this one in the list")
    parser.add_argument("--list", action="store_true", help="tell what there is")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=2, help="turns of alone and beside")
    parser.add_argument("--per-s", type=float, default=1.0, help="a factor for the floods' rates")
    parser.add_argument("--account-per-s", type=float, default=0.0, help="honest texts to the link; 0: from the peak")
    parser.add_argument("--desk-per-s", type=float, default=0.0, help="honest texts to the desk; 0: from the peak")
    parser.add_argument(
        "--table", action="store_true", help="write the figures of --json as a table, and measure nothing"
    )
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "floods.json", help="where the figures go")
    return parser.parse_args()


def main() -> None:
    """Run it all."""
    options = parse()
    first = [flood.name for flood in FLOODS].index(options.after) + 1 if options.after else 0
    chosen = [flood for flood in FLOODS[first:] if not options.only or flood.name in options.only]
    if options.list:
        for flood in chosen:
            print(f"{flood.name:26} {flood.per_s:8,.0f}/s  {flood.about}")
        return
    if options.table:
        print(table(json.loads(options.json.read_text())))
        return
    directory = Path(tempfile.mkdtemp(prefix="smshub-floods-"))
    report: dict[str, Any] = {"command": " ".join(("python -m loadtests.floods", *sys.argv[1:])), "floods": {}}
    begun = time.monotonic()
    try:
        with ExitStack() as stack:
            scene = Scene(stack, directory)
            rates = (options.account_per_s, options.desk_per_s)
            if not all(rates):
                scene.peaks(PEAK_COUNT // 4)  # warms up
                to_link, to_desk = scene.peaks()
                print(f"peaks: {to_link:,.0f}/s to the link, {to_desk:,.0f}/s to the desk")
                rates = (rates[0] or to_link * SHARE, rates[1] or to_desk * SHARE)
            print(f"honest: {rates[0]:,.0f}/s to the link and {rates[1]:,.0f}/s to the desk, at once\n", flush=True)
            report["honest_per_s"] = rates
            scene.honest(rates, options.seconds)
            for flood in chosen:
                alone, beside = [], []
                for _ in range(options.rounds):
                    alone.append(scene.honest(rates, options.seconds))
                    beside.append(scene.beside(flood, options.per_s, rates, options.seconds))
                a, b = medians(alone), medians(beside)
                show(flood.name, a, b, beside[-1]["flood"])
                report["floods"][flood.name] = {
                    "about": flood.about,
                    "per_s": flood.per_s * options.per_s,
                    "alone": alone,
                    "beside": beside,
                    **verdict(a, b),
                }
    finally:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**report, "load_average": os.getloadavg()[0]}, indent=1) + "\n")
        shutil.rmtree(directory, ignore_errors=True)
    print(f"\nThis took {time.monotonic() - begun:.0f} s. Figures: {options.json}")


if __name__ == "__main__":
    main()
