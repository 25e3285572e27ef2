// A foreign peer for outbind: node-smpp.
// "smsc PORT PASSWORD [NUMBER]": calls us, says outbind, answers our bind and delivers a text to that number.
// "esme": listens, answers our outbind with bind_receiver, takes a text. Says "port N" once it listens.
// Output: one JSON object with what it saw.
'use strict';
const smpp = require('smpp');

const [role, port, password, number] = process.argv.slice(2);
const seen = { bind: null, system_id: null, delivered: null, outbind: null, bound: null, texts: [] };

const tell = (session) => {
  session.on('close', () => { console.log(JSON.stringify(seen)); process.exit(0); });
  session.on('error', (error) => { console.error(error.code); });
};

if (role === 'smsc') {
  const session = smpp.connect({ host: '127.0.0.1', port: Number(port) }, () => {
    session.outbind({ system_id: 'node-smsc', password });
  });
  tell(session);
  const accept = (pdu) => {
    seen.bind = pdu.command;
    seen.system_id = pdu.system_id;
    session.send(pdu.response({ system_id: 'node-smsc', sc_interface_version: 0x34 }));
    session.deliver_sm({
      source_addr: '12025550101', destination_addr: number || '16175550100', short_message: 'called for this',
    }, (answer) => {
      seen.delivered = answer.command_status;
      session.unbind(() => session.close());
    });
  };
  session.on('bind_receiver', accept);
  session.on('bind_transceiver', accept);
} else {
  const server = smpp.createServer((session) => {
    tell(session);
    session.on('outbind', (pdu) => {
      seen.outbind = [pdu.system_id, pdu.password];
      session.bind_receiver({ system_id: 'node', password: 'secret' }, (bound) => { seen.bound = bound.command_status; });
    });
    session.on('deliver_sm', (pdu) => {
      seen.texts.push(pdu.short_message.message);
      session.send(pdu.response());
      session.unbind(() => session.close());
    });
  });
  server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
}
