// A foreign SMSC: node-smpp. Accepts whoever knows the password, answers texts out of order, delivers a receipt for each
// and one text, and asks whether the link lives.
// Output: a line "port N" once it listens, then one JSON object when its session has closed.
// Over TLS when PEER_TLS_CERT and PEER_TLS_KEY are set; it lets in only certificates of PEER_TLS_CA when that is.
'use strict';
const fs = require('fs');
const smpp = require('smpp');

const seen = { binds: [], texts: [], delivered: [], enquired: null, unbound: false, certificates: [] };

const file = (name) => (process.env[name] ? fs.readFileSync(process.env[name]) : undefined);
const asks = Boolean(process.env.PEER_TLS_CA);
const secure = process.env.PEER_TLS_CERT
  ? { cert: file('PEER_TLS_CERT'), key: file('PEER_TLS_KEY'), ca: file('PEER_TLS_CA'), requestCert: asks, rejectUnauthorized: asks }
  : {};

const server = smpp.createServer(secure, (session) => {
  if (asks) {
    seen.certificates.push(session.socket.getPeerCertificate().subject.CN);
  }
  session.on('error', (error) => { console.error(error); process.exit(1); });
  const accept = (pdu) => {
    seen.binds.push([pdu.command, pdu.system_id, pdu.interface_version]);
    if (pdu.password !== 'secret') {
      session.send(pdu.response({ command_status: smpp.ESME_RINVPASWD }));
      session.close();
      return;
    }
    session.send(pdu.response({ system_id: 'node-smsc', sc_interface_version: 0x34 }));
    session.enquire_link((alive) => { seen.enquired = alive.command_status; });
    session.deliver_sm({
      source_addr: '12025550101', destination_addr: '16175550100', short_message: 'from a handset',
    }, (answer) => seen.delivered.push(answer.command_status));
  };
  session.on('bind_transceiver', accept);
  session.on('bind_receiver', accept);
  session.on('bind_transmitter', accept);

  let waiting = [];
  session.on('submit_sm', (pdu) => {
    seen.texts.push(pdu.short_message.message);
    waiting.push(pdu);
    if (waiting.length < 5) {
      return;
    }
    for (const held of waiting.reverse()) { // answers need not come in the order of the questions
      const id = `n${held.sequence_number}`;
      session.send(held.response({ message_id: id }));
      session.deliver_sm({
        esm_class: 4, source_addr: held.destination_addr, destination_addr: held.source_addr,
        short_message: `id:${id} sub:001 dlvrd:001 submit date:2601010000 done date:2601010000 stat:DELIVRD err:000 text:`,
        receipted_message_id: id, message_state: 2,
      }, (answer) => seen.delivered.push(answer.command_status));
    }
    waiting = [];
  });
  session.on('unbind', (pdu) => {
    seen.unbound = true;
    session.send(pdu.response());
    session.close();
  });
  session.on('close', () => {
    if (seen.unbound) {
      console.log(JSON.stringify(seen));
      server.close();
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
