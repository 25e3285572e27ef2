"""A foreign ESME: smpplib. Submits a text, asks how it stands until it is delivered, and hears that a handset is back.

Arguments: port. Output: one JSON object with what it saw. Runs in an environment of its own.
"""

import json
import sys

import smpplib.client
import smpplib.consts

INTERNATIONAL = {"source_addr_ton": smpplib.consts.SMPP_TON_INTL, "source_addr_npi": smpplib.consts.SMPP_NPI_ISDN}
SOURCE = {**INTERNATIONAL, "source_addr": "12025551212"}
seen = {"ids": [], "answers": [], "errors": [], "alerts": []}


def received(pdu):
    if pdu.command == "alert_notification":
        seen["alerts"].append([pdu.source_addr.decode(), pdu.esme_addr.decode()])
    return 0


def answered(pdu, **_):
    if not pdu.is_error():
        seen["answers"].append([pdu.message_id.decode(), int(pdu.message_state), bool(pdu.final_date)])


client = smpplib.client.Client("127.0.0.1", int(sys.argv[1]), timeout=30, allow_unknown_opt_params=True)
client.set_message_sent_handler(lambda pdu: seen["ids"].append(pdu.message_id.decode()))
client.set_message_received_handler(received)
client.set_query_resp_handler(answered)
client.set_error_pdu_handler(lambda pdu: seen["errors"].append([pdu.command, int(pdu.status)]))
client.connect()
client.bind_transceiver(system_id="smpplib", password="secret")
client.send_message(
    **SOURCE,
    dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
    dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
    destination_addr="447700900001",
    short_message=b"a",
)
while not seen["ids"]:
    client.read_once()
for message_id, source in ((seen["ids"][0], SOURCE), ("77", SOURCE), (seen["ids"][0], {**SOURCE, "source_addr": "1"})):
    client.query_message(message_id=message_id, **source)
while len(seen["answers"]) + len(seen["errors"]) < 3:
    client.read_once()
print("asked", flush=True)
while not seen["alerts"]:
    client.read_once()
client.query_message(message_id=seen["ids"][0], **SOURCE)
while len(seen["answers"]) < 2:
    client.read_once()
client.unbind()
client.disconnect()
print(json.dumps(seen))
