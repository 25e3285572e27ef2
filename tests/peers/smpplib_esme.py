"""A foreign ESME: smpplib. Binds as a transceiver, submits texts, waits for their receipts, unbinds.

Arguments: port, how many texts. Output: one JSON object with what it saw. Runs in an environment of its own.
Over TLS when PEER_TLS_CA is set; with a certificate of its own when PEER_TLS_CERT and PEER_TLS_KEY are.
"""

import json
import os
import ssl
import sys

import smpplib.client
import smpplib.consts
import smpplib.gsm

port, count = int(sys.argv[1]), int(sys.argv[2])
seen = {"ids": [], "receipts": [], "texts": []}

context = None
if "PEER_TLS_CA" in os.environ:
    context = ssl.create_default_context(cafile=os.environ["PEER_TLS_CA"])
    context.check_hostname = False  # smpplib does not say whom it has called
    if "PEER_TLS_CERT" in os.environ:
        context.load_cert_chain(os.environ["PEER_TLS_CERT"], os.environ["PEER_TLS_KEY"])
client = smpplib.client.Client("127.0.0.1", port, timeout=10, allow_unknown_opt_params=True, ssl_context=context)
client.set_message_sent_handler(lambda pdu: seen["ids"].append(pdu.message_id.decode()))


def received(pdu):
    if pdu.esm_class & 0x3C == 0x04:
        seen["receipts"].append([pdu.receipted_message_id.rstrip(b"\0").decode(), pdu.short_message.decode()])
    else:
        seen["texts"].append(pdu.short_message.decode())
    return 0


client.set_message_received_handler(received)
client.connect()
client.bind_transceiver(system_id="smpplib", password="secret")
for number in range(count):
    parts, coding, flags = smpplib.gsm.make_parts(f"text {number} \N{EURO SIGN}")
    for part in parts:
        client.send_message(
            source_addr_ton=smpplib.consts.SMPP_TON_INTL,
            source_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
            source_addr="12025550101",
            dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
            dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
            destination_addr="16175550100",
            short_message=part,
            data_coding=coding,
            esm_class=flags,
            registered_delivery=True,
        )
while len(seen["receipts"]) < count or not seen["texts"]:
    client.read_once()
client.unbind()
client.disconnect()
print(json.dumps(seen))
