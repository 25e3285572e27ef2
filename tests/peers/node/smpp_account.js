// A foreign ESME: node-smpp. Binds, and submits what it is told to on standard input, a line of JSON for each text:
// {"key", "from", "to", "text"}, digits without '+'. Tells of each answer with its status and what explains it.
// Arguments: port, system_id, password.
'use strict';
const smpp = require('smpp');
const readline = require('readline');

const [port, system_id, password] = process.argv.slice(2);
const tell = (facts) => console.log(JSON.stringify(facts));

const session = smpp.connect({ host: '127.0.0.1', port: Number(port) }, () => {
  session.bind_transceiver({ system_id, password }, (bound) => {
    tell({ event: 'bound', status: bound.command_status });
    readline.createInterface({ input: process.stdin }).on('line', (line) => {
      const order = JSON.parse(line);
      if (order.do === 'quit') {
        session.unbind(() => session.close());
        return;
      }
      session.submit_sm({
        source_addr_ton: 1, source_addr_npi: 1, source_addr: order.from,
        dest_addr_ton: 1, dest_addr_npi: 1, destination_addr: order.to, short_message: order.text,
      }, (answer) => tell({
        event: 'taken', key: order.key, status: answer.command_status, why: answer.additional_status_info_text || '',
      }));
    });
  });
});
session.on('enquire_link', (pdu) => session.send(pdu.response()));
session.on('unbind', (pdu) => { session.send(pdu.response()); session.close(); });
session.on('close', () => process.exit(0));
session.on('error', (error) => { console.error(error); process.exit(1); });
