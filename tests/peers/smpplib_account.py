"""A foreign ESME that lives: smpplib, told in lines of JSON on standard input, telling so on standard output.

    smpplib_account.py PORT SYSTEM_ID PASSWORD [CA_FILE SERVER_NAME]

Orders:  {"do": "text", "key", "from", "to", "text", "receipt": true}    {"do": "unbind"}, {"do": "quit"}
Events:  bound, refused (at bind); taken (one for each part), error; text, receipt; unbound (by order or by the hub),
         lost.

It runs in an environment of its own and knows nothing of the hub: it must see only what any ESME sees.
"""

import json
import logging
import select
import ssl
import sys

import smpplib.client
import smpplib.consts
import smpplib.exceptions
import smpplib.gsm
import smpplib.smpp

INTERNATIONAL = {"ton": smpplib.consts.SMPP_TON_INTL, "npi": smpplib.consts.SMPP_NPI_ISDN}


def tell(event, **facts):
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


class Named:
    """A TLS context that expects a name: smpplib tells none."""

    def __init__(self, ca_file, name):
        self.context = ssl.create_default_context(cafile=ca_file)
        self.name = name

    def wrap_socket(self, raw):
        return self.context.wrap_socket(raw, server_hostname=self.name)


class Unbound(Exception):
    """The hub has unbound."""


class Client(smpplib.client.Client):
    """smpplib takes an unbind for a notice; this one answers it, as SMPP 3.4 §4.2.2 wants."""

    def read_pdu(self):
        pdu = super().read_pdu()
        if pdu.command == "unbind":
            answer = smpplib.smpp.make_pdu("unbind_resp", client=self)
            answer.sequence = pdu.sequence
            self.send_pdu(answer)
            raise Unbound
        return pdu


class Account:
    """One bind."""

    def __init__(self, port, tls):
        self.client = Client("127.0.0.1", port, timeout=30, allow_unknown_opt_params=True, ssl_context=tls)
        self.keys = {}
        self.client.set_message_sent_handler(self.taken)
        self.client.set_message_received_handler(self.received)
        self.client.set_error_pdu_handler(self.refused)

    def bind(self, system_id, password):
        self.client.connect()
        self.client.bind_transceiver(system_id=system_id, password=password)
        tell("bound")

    def taken(self, pdu):
        tell("taken", key=self.keys.pop(pdu.sequence), id=pdu.message_id.rstrip(b"\0").decode(), status=0)

    def refused(self, pdu):
        if pdu.command == "submit_sm_resp":
            tell("taken", key=self.keys.pop(pdu.sequence), id="", status=int(pdu.status))
            pdu.command = "refused"  # or smpplib would call the other handler as well
        else:
            tell("error", command=pdu.command, status=int(pdu.status))

    def received(self, pdu):
        words = pdu.short_message or b""
        facts = {
            "source": pdu.source_addr.decode(),
            "destination": pdu.destination_addr.decode(),
            "esm_class": pdu.esm_class,
            "coding": pdu.data_coding,
        }
        if pdu.esm_class & 0x3C == 0x04:
            receipted = (pdu.receipted_message_id or b"").rstrip(b"\0").decode()
            tell("receipt", receipted=receipted, state=pdu.message_state, text=words.decode(), **facts)
            return 0
        header = list(words[: words[0] + 1]) if pdu.esm_class & 0x40 else []
        words = words[len(header) :]
        tell("text", text=words.decode("utf-16-be" if pdu.data_coding == 8 else "ascii"), udh=header, **facts)
        return 0

    def text(self, order):
        parts, coding, flags = smpplib.gsm.make_parts(order["text"])
        for part in parts:
            pdu = self.client.send_message(
                source_addr_ton=INTERNATIONAL["ton"],
                source_addr_npi=INTERNATIONAL["npi"],
                source_addr=order["from"],
                dest_addr_ton=INTERNATIONAL["ton"],
                dest_addr_npi=INTERNATIONAL["npi"],
                destination_addr=order["to"],
                short_message=part,
                data_coding=coding,
                esm_class=flags,
                registered_delivery=bool(order.get("receipt")),
            )
            self.keys[pdu.sequence] = order["key"]

    def live(self):
        connection = self.client._socket
        orders = b""
        while True:
            ready, _, _ = select.select([sys.stdin, connection], [], [])
            if connection in ready:
                self.client.read_once()
                while getattr(connection, "pending", int)():
                    self.client.read_once()
            if sys.stdin in ready:
                read = sys.stdin.buffer.raw.read(65536)
                if not read:
                    return
                *lines, orders = (orders + read).split(b"\n")
                for line in lines:
                    order = json.loads(line)
                    if order["do"] in ("unbind", "quit"):
                        self.client.unbind()
                        tell("unbound")
                        return
                    self.text(order)


def main():
    """Bind and live until told to unbind, or until the hub hangs up."""
    logging.disable(logging.CRITICAL)
    port, system_id, password, *tls = sys.argv[1:]
    try:
        account = Account(int(port), Named(*tls) if tls else None)
        account.bind(system_id, password)
    except smpplib.exceptions.PDUError as error:
        tell("refused", status=error.args[1])
        return
    except (smpplib.exceptions.ConnectionError, OSError) as error:
        tell("refused", status=-1, why=str(error.__context__ or error))
        return
    try:
        account.live()
    except Unbound:
        tell("unbound")
    except smpplib.exceptions.ConnectionError:
        tell("lost")
    account.client.disconnect()


if __name__ == "__main__":
    main()
