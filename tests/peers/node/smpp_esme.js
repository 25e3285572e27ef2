// A foreign ESME: node-smpp. Binds, asks whether the link lives, submits texts all at once, waits for their receipts
// and one text, unbinds.
// Arguments: port, how many texts. Output: one JSON object with what it saw.
// Over TLS when PEER_TLS_CA is set; with a certificate of its own when PEER_TLS_CERT and PEER_TLS_KEY are.
'use strict';
const fs = require('fs');
const smpp = require('smpp');

const file = (name) => (process.env[name] ? fs.readFileSync(process.env[name]) : undefined);
const secure = process.env.PEER_TLS_CA
  ? { tls: true, ca: file('PEER_TLS_CA'), cert: file('PEER_TLS_CERT'), key: file('PEER_TLS_KEY') }
  : {};

const port = Number(process.argv[2]);
const count = Number(process.argv[3]);
const seen = { bind: null, version: null, enquired: null, ids: [], receipts: [], texts: [], refused: null };

const session = smpp.connect({ host: '127.0.0.1', port, ...secure }, () => {
  session.bind_transceiver({ system_id: 'node', password: 'secret' }, (bound) => {
    seen.bind = bound.command_status;
    seen.version = bound.sc_interface_version;
    session.enquire_link((alive) => { seen.enquired = alive.command_status; });
    session.bind_receiver({ system_id: 'node', password: 'secret' }, (again) => { seen.refused = again.command_status; });
    for (let n = 0; n < count; n++) {
      session.submit_sm({
        source_addr: '12025550101', destination_addr: '16175550100', short_message: `text ${n}`, registered_delivery: 1,
      }, (answer) => seen.ids.push(answer.message_id));
    }
  });
});

session.on('deliver_sm', (pdu) => {
  session.send(pdu.response());
  if (pdu.esm_class & 0x3c) {
    seen.receipts.push([pdu.receipted_message_id, pdu.message_state]);
  } else {
    seen.texts.push(pdu.short_message.message);
  }
  if (seen.receipts.length === count && seen.texts.length === 1) {
    session.unbind(() => session.close());
  }
});
session.on('close', () => console.log(JSON.stringify(seen)));
session.on('error', (error) => { console.error(error); process.exit(1); });
