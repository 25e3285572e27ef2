"""A CSR's client for tests: slixmpp, told in lines of JSON on standard input, telling so on standard output.

    slixmpp_csr.py JID PASSWORD HOST PORT

Orders:  {"do": "presence", "to": …, "type": …}    {"do": "raw", "xml": …}    {"do": "quit"}
         {"do": "say", "to": …, "id": …, "body": …, "token": …, "thread": …, "request": true}
         {"do": "iq", "to": …, "id": …, "type": …, "xml": …}
Events:  ready; message, receipt, error, iq, presence (see ``_tell``); failed.

It runs in an environment of its own and knows nothing of the hub: it must see only what any client sees.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from xml.etree import ElementTree

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

THREAD = "urn:smshub:thread:1"


def _tell(event: str, **facts: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


class Csr(slixmpp.ClientXMPP):
    """One client."""

    def __init__(self, jid: str, password: str) -> None:
        super().__init__(jid, password)
        self.enable_starttls = False
        self.enable_direct_tls = False
        self.enable_plaintext = True
        for plugin in ("xep_0030", "xep_0184", "xep_0199"):
            self.register_plugin(plugin)
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.plugin["feature_mechanisms"].unencrypted_scram = True
        self.add_event_handler("session_start", self.begin)
        self.add_event_handler("failed_auth", lambda _: _tell("failed", why="authentication"))
        self.add_event_handler("connection_failed", lambda why: _tell("failed", why=str(why)))
        self.add_event_handler("receipt_received", lambda m: _tell("receipt", sender=str(m["from"]), id=m["receipt"]))
        self.register_handler(Callback("any message", StanzaPath("message"), self.hear))
        self.register_handler(Callback("any iq", StanzaPath("iq@type=result"), self.answered))
        self.register_handler(Callback("any iq error", StanzaPath("iq@type=error"), self.answered))
        self.register_handler(Callback("any presence", StanzaPath("presence"), self.see))

    async def begin(self, _event: object) -> None:
        self.send_presence()
        await self.get_roster()
        _tell("ready")

    def obey(self, order: dict[str, Any]) -> None:
        if order["do"] == "presence":
            self.send_presence(pto=order.get("to"), ptype=order.get("type"))
        elif order["do"] == "raw":
            self.send_raw(order["xml"])
        elif order["do"] == "say":
            message = self.make_message(mto=order["to"], mbody=order["body"], mtype="chat")
            message["id"] = order["id"]
            if order.get("thread"):
                message["thread"] = order["thread"]
            if order.get("token"):
                token = ElementTree.SubElement(message.xml, f"{{{THREAD}}}token")
                token.text = order["token"]
            if order.get("request"):
                message["request_receipt"] = True
            message.send()
        elif order["do"] == "iq":
            iq = self.make_iq(id=order["id"], ito=order["to"], itype=order["type"])
            iq.append(ElementTree.fromstring(order["xml"]))
            # By hand, not by iq.send(): what comes back shall pass through the same handler as everything.
            self.send_raw(str(iq))

    def hear(self, message: slixmpp.Message) -> None:
        if message["type"] == "error":
            error = message.xml.find("{jabber:client}error")
            names = [child.tag.partition("}")[2] for child in error] if error is not None else []
            _tell("error", id=message["id"], sender=str(message["from"]), type=message["error"]["type"], names=names)
            return
        if not message["body"]:
            return
        token = message.xml.find(f"{{{THREAD}}}token")
        _tell(
            "message",
            id=message["id"],
            sender=str(message["from"]),
            body=message["body"],
            thread=message["thread"],
            token=token.text if token is not None else "",
            news=token.get("news") if token is not None else "",
            opt_out=token.get("opt-out") if token is not None else "",
            elements=[child.tag for child in message.xml],
        )

    def answered(self, iq: slixmpp.Iq) -> None:
        children = list(iq.xml)
        error = iq.xml.find("{jabber:client}error")
        names = [child.tag.partition("}")[2] for child in error] if error is not None else []
        text = ElementTree.tostring(children[0], encoding="unicode") if children else ""
        _tell("iq", id=iq["id"], type=iq["type"], sender=str(iq["from"]), names=names, xml=text)

    def see(self, presence: slixmpp.Presence) -> None:
        _tell("presence", sender=str(presence["from"]), type=presence["type"])


async def main() -> None:
    """Connect and run until told to quit."""
    jid, password, host, port = sys.argv[1:]
    csr = Csr(jid, password)
    csr.connect(host, int(port))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    # Here and not in a handler of slixmpp: it keeps no reference to those, and a long one may be collected.
    while line := await reader.readline():
        order = json.loads(line)
        if order["do"] == "quit":
            break
        csr.obey(order)
    await csr.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
