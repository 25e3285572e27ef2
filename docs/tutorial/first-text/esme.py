import sys

import smpplib.client
import smpplib.gsm


def heard(pdu):
    kind = "receipt" if pdu.esm_class & 0x3C == 0x04 else "text"
    print(f"{kind} from {pdu.source_addr.decode()}: {pdu.short_message.decode()}", flush=True)
    return 0


customer = {"source_addr_ton": 1, "source_addr_npi": 1, "source_addr": "16175551212"}
number = {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": "18005550100"}
client = smpplib.client.Client("127.0.0.1", 2775, allow_unknown_opt_params=True)
client.set_message_sent_handler(lambda pdu: print("accepted as", pdu.message_id.decode(), flush=True))
client.set_message_received_handler(heard)
client.connect()
client.bind_transceiver(system_id="phone", password="secret")
parts, coding, flags = smpplib.gsm.make_parts(sys.argv[1])
for part in parts:
    how = {"short_message": part, "data_coding": coding, "esm_class": flags, "registered_delivery": True}
    client.send_message(**customer, **number, **how)
client.listen()
