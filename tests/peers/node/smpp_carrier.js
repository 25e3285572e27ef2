// A foreign carrier: node-smpp as an SMSC, told in lines of JSON on standard input, telling so on standard output.
//
//   smpp_carrier.js PASSWORD [KEY_FILE CERTIFICATE_FILE]
//
// Orders: {"do": "text", "key", "from", "to", "text", "coding", "udh": [reference, total, number], "receipt": true}
//         {"do": "receipt", "id", "from", "to", "state", "shape": "both" | "text" | "tlv", "err"}
//         {"do": "answer", "statuses": [...]}   how the next texts are answered; 0 for all after them
//         {"do": "hold"}, {"do": "resume"}      answer no text until told to
//         {"do": "unbind"}, {"do": "cut"}, {"do": "quit"}
// Events: port, bound, submit, answered (by the hub, to what we delivered), unbound (by the hub), closed.
//
// It knows nothing of the hub: it must see only what any SMSC sees.
'use strict';
const fs = require('fs');
const readline = require('readline');
const smpp = require('smpp');

const [password, keyFile, certificateFile] = process.argv.slice(2);
const tls = keyFile ? { key: fs.readFileSync(keyFile), cert: fs.readFileSync(certificateFile) } : {};
const tell = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n');
const milliseconds = () => Number(process.hrtime.bigint() / 1000n) / 1000;
const STATES = { DELIVRD: 2, EXPIRED: 3, DELETED: 4, UNDELIV: 5, ACCEPTD: 6, UNKNOWN: 7, REJECTD: 8 };

let session = null;
let statuses = [];
let holding = false;
let held = [];
let texts = 0;

function answer(pdu, id) {
  const status = statuses.length ? statuses.shift() : 0;
  const said = status ? { command_status: status } : { message_id: id };
  pdu.owner.send(pdu.response(said));
  tell('taken', { id, status });
}

const server = smpp.createServer(tls, (opened) => {
  opened.on('error', (error) => tell('trouble', { why: String(error) }));
  opened.on('close', () => tell('closed', {}));
  const accept = (pdu) => {
    const good = pdu.password === password;
    opened.send(pdu.response(good ? { system_id: 'carrier', sc_interface_version: 0x34 }
      : { command_status: smpp.ESME_RINVPASWD }));
    if (!good) {
      opened.close();
      return;
    }
    if (pdu.command !== 'bind_transmitter') {
      session = opened;
    }
    tell('bound', { mode: pdu.command, system_id: pdu.system_id });
  };
  opened.on('bind_transceiver', accept);
  opened.on('bind_receiver', accept);
  opened.on('bind_transmitter', accept);
  opened.on('enquire_link', (pdu) => opened.send(pdu.response()));
  opened.on('submit_sm', (pdu) => {
    texts += 1;
    const id = `C${String(texts).padStart(5, '0')}`;
    const words = pdu.message_payload || pdu.short_message || {};
    tell('submit', {
      id,
      at_ms: milliseconds(),
      source: [pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr],
      destination: [pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr],
      esm_class: pdu.esm_class,
      coding: pdu.data_coding,
      registered: pdu.registered_delivery,
      text: String(words.message),
      udh: (words.udh || []).map((element) => [...element]),
      sar: [pdu.sar_msg_ref_num || 0, pdu.sar_total_segments || 0, pdu.sar_segment_seqnum || 0],
      receipted: pdu.receipted_message_id || '',
      state: pdu.message_state || 0,
    });
    pdu.owner = opened;
    if (holding) {
      held.push([pdu, id]);
    } else {
      answer(pdu, id);
    }
  });
  opened.on('unbind', (pdu) => {
    tell('unbound', { owed: held.length });
    opened.send(pdu.response());
    opened.close();
  });
});

function text(order) {
  const message = { message: order.text };
  if (order.udh) {
    const [reference, total, number] = order.udh;
    message.udh = Buffer.from([5, 0, 3, reference, total, number]);
  }
  session.deliver_sm({
    source_addr_ton: 1, source_addr_npi: 1, source_addr: order.from,
    dest_addr_ton: 1, dest_addr_npi: 1, destination_addr: order.to,
    data_coding: order.coding || 0, registered_delivery: order.receipt ? 1 : 0, short_message: message,
  }, (said) => tell('answered', { key: order.key, status: said.command_status, id: said.message_id || '' }));
}

function receipt(order) {
  const good = order.state === 'DELIVRD' ? '001' : '000';
  const pdu = {
    esm_class: 4,
    source_addr_ton: 1, source_addr_npi: 1, source_addr: order.from,
    dest_addr_ton: 1, dest_addr_npi: 1, destination_addr: order.to,
  };
  if (order.shape !== 'tlv') {
    pdu.short_message = `id:${order.id} sub:001 dlvrd:${good} submit date:2601010000 done date:2601010000 `
      + `stat:${order.state} err:${order.err || '000'} text:`;
  }
  if (order.shape !== 'text') {
    pdu.receipted_message_id = order.id;
    pdu.message_state = STATES[order.state];
  }
  session.deliver_sm(pdu, (said) => tell('answered', { key: `receipt ${order.id}`, status: said.command_status }));
}

const orders = {
  text,
  receipt,
  answer: (order) => { statuses = order.statuses; },
  hold: () => { holding = true; },
  resume: () => {
    holding = false;
    const waiting = held;
    held = [];
    waiting.forEach(([pdu, id]) => answer(pdu, id));
  },
  unbind: () => session.unbind(),
  cut: () => session.destroy(),
  quit: () => process.exit(0),
};

readline.createInterface({ input: process.stdin })
  .on('line', (line) => { const order = JSON.parse(line); orders[order.do](order); })
  .on('close', () => process.exit(0));
server.listen(0, '127.0.0.1', () => tell('port', { port: server.address().port }));
