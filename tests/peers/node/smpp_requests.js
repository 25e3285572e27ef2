// A foreign ESME: node-smpp. Asks about texts, cancels and replaces them, submits to several at once, uses data_sm.
// Arguments: port. Prints a line of JSON each time it has been answered; goes on when it is told to, on standard input.
'use strict';
const smpp = require('smpp');
const readline = require('readline');

const port = Number(process.argv[2]);
const FROM = { source_addr_ton: 1, source_addr_npi: 1, source_addr: '12025551212' };
const to = (digits) => ({ dest_addr_ton: 1, dest_addr_npi: 1, destination_addr: digits });
const receipts = [];
const alerts = [];
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = () => lines.next();
const tell = (facts) => console.log(JSON.stringify(facts));

const session = smpp.connect({ host: '127.0.0.1', port }, run);
const ask = (command, fields) => new Promise((resolve) => session[command](fields, resolve));
const submit = (digits, text, more) => ask('submit_sm', { ...FROM, ...to(digits), short_message: text, ...more });
const query = async (message_id, more) => {
  const answer = await ask('query_sm', { ...FROM, message_id, ...more });
  return [answer.command_status, answer.message_state, answer.final_date !== null && answer.final_date !== '', answer.error_code];
};

session.on('deliver_sm', (pdu) => {
  session.send(pdu.response());
  receipts.push([pdu.receipted_message_id, pdu.message_state, pdu.source_addr]);
});
session.on('alert_notification', (pdu) => alerts.push([pdu.source_addr, pdu.esme_addr]));
session.on('error', (error) => { console.error(error); process.exit(1); });

async function run() {
  const bound = await ask('bind_transceiver', { system_id: 'node', password: 'secret' });
  const a = await submit('447700900001', 'a', { registered_delivery: 1 });
  const b = await submit('447700900001', 'b', { registered_delivery: 1 });
  const c = await submit('447700900001', 'c', { data_coding: 8 });
  const multi = await ask('submit_multi', {
    ...FROM,
    dest_address: [to('447700900002'), { dl_name: 'friends' }, to('447700900003'), to('')],
    short_message: 'to several',
    registered_delivery: 1,
  });
  const data = await ask('data_sm', {
    ...FROM, ...to('447700900004'), message_payload: { message: 'in a TLV' }, set_dpf: 1, registered_delivery: 1,
  });
  const first = await query(a.message_id);
  const cancelled = await ask('cancel_sm', { ...FROM, message_id: b.message_id });
  const again = await ask('cancel_sm', { ...FROM, message_id: b.message_id });
  const replaced = await ask('replace_sm', { ...FROM, message_id: c.message_id, short_message: { message: Buffer.from('4E2D6587', 'hex') } });
  tell({
    bound: bound.command_status,
    ids: [a, b, c, multi, data].map((answer) => answer.message_id),
    statuses: [a, b, c, multi, data].map((answer) => answer.command_status),
    unsuccess: multi.unsuccess_sme.map((sme) => [sme.destination_addr, sme.error_status_code]),
    first,
    cancelled: cancelled.command_status,
    again: again.command_status,
    replaced: replaced.command_status,
    gone: await query(b.message_id),
    several: await query(multi.message_id),
    stranger: await query('123456789'),
    other_source: await query(a.message_id, { source_addr: '12025550000' }),
  });
  await told();
  while (receipts.length < 5 || alerts.length < 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  tell({
    ended: await query(a.message_id),
    replaced: await query(c.message_id),
    several: await query(multi.message_id),
    late: (await ask('cancel_sm', { ...FROM, message_id: a.message_id })).command_status,
    too_late: (await ask('replace_sm', { ...FROM, message_id: a.message_id, short_message: 'z' })).command_status,
    receipts,
    alerts,
  });
  session.unbind(() => { session.close(); process.exit(0); });
}
