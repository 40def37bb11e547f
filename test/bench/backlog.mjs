/**
 * `npm run bench:backlog`: a flash sale taken back. 100,000 refunds on 10,000 orders, ten each, wait at once and drain at WeChat's rate
 * while new ones are asked for; how long it takes, and what the new callers notice of it.
 */
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sending } from './sending.mjs';
import { Stage } from './stage.mjs';

const { values: options } = parseArgs({
  options: {
    orders: { type: 'string', default: '10000' },
    each: { type: 'string', default: '10' },
    'each-second': { type: 'string', default: '20' },
    'spacing-seconds': { type: 'string', default: '0' },
  },
});
const ORDERS = Number(options.orders);
const EACH = Number(options.each);
const PROBES_PER_SECOND = Number(options['each-second']);
/** A p99 needs a thousand; that of ten seconds is luck. */
const CALM_SECONDS = 60;
const DRAIN_SECONDS_MAX = 1200;
/** Counting 100,000 rows takes its share of a small machine: seldom while many wait. */
const FEW = 2000;
const TARGET_SECONDS = Math.ceil((ORDERS * EACH) / 150) * 1.08;

const BACKLOG_SQL = `
  WITH o AS (
    UPDATE payment_order SET reserved_fen = $2::bigint * $3::integer, refund_count = $3::integer WHERE id = ANY($1::uuid[])
    RETURNING id, mch_id, appid),
  made AS (
    INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, amount_fen, state, state_since, source, request_digest, reason,
      next_attempt_at, created_by, created_at, updated_at, event_sequence)
    SELECT uuid7(c.now), o.id, o.mch_id, o.appid, 'B' || replace(o.id::text, '-', '') || n, $2, 'queued', c.now, 'api', sha256('bench'),
      'sale', c.now, 'key_bench', c.now, c.now, 1
    FROM o, generate_series(1, $3::integer) n, (SELECT tuikuan_now() AS now) c RETURNING *),
  event AS (
    INSERT INTO refund_event (refund_id, seq, to_state, cause, at) SELECT id, 1, 'queued', 'request', created_at FROM made)
  INSERT INTO outgoing_event (id, type, subject_id, refund_id, order_id, appid, sequence, snapshot, at)
  SELECT uuid7(created_at), 'refund.created', id, id, order_id, appid, 1, to_jsonb(made), created_at FROM made`;

/** Asks for a refund on one order after the other until `over`; the latencies in ms. */
async function probe(sending, orders, over) {
  const latencies = [];
  while (!over() && orders.length > 0) {
    const order = orders.pop();
    const startMs = performance.now();
    await sending.stage.call(sending.service, 'POST', '/v1/refunds', {
      order,
      amount: 1,
      out_refund_no: `P${order.slice(-30)}`,
    });
    latencies.push(performance.now() - startMs);
    await sleep(1000 / PROBES_PER_SECOND);
  }
  return latencies.sort((a, b) => a - b);
}

const p99 = (sorted) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))] ?? Number.NaN;

async function waitingOf(sending) {
  const { rows } = await sending.stage.sql(sending.database, (client) =>
    client.query(
      "SELECT count(*)::int AS n FROM refund WHERE state IN ('queued', 'submitting', 'outcome_unknown') AND out_refund_no LIKE 'B%'",
    ),
  );
  return rows[0].n;
}

const stage = await Stage.open();
try {
  const sending = await Sending.open(stage, {
    name: 'backlog',
    spacingSeconds: Number(options['spacing-seconds']),
    settles: false,
  });
  const probesMax = PROBES_PER_SECOND * CALM_SECONDS + Math.min(PROBES_PER_SECOND * DRAIN_SECONDS_MAX, ORDERS);
  const all = await sending.orders(ORDERS + probesMax);
  const probes = all.splice(ORDERS);
  const calmUntilMs = performance.now() + CALM_SECONDS * 1000;
  const calm = await probe(sending, probes, () => performance.now() > calmUntilMs);
  await stage.sql(sending.database, async (client) => {
    const ids = all.map((id) => id.slice(4));
    await client.query(BACKLOG_SQL, [ids, 10, EACH]);
    await client.query('ANALYZE');
  });
  const startMs = performance.now();
  let drained = false;
  const meanwhile = probe(sending, probes, () => drained);
  for (;;) {
    const left = await waitingOf(sending);
    const seconds = (performance.now() - startMs) / 1000;
    if (left === 0 || seconds > DRAIN_SECONDS_MAX) break;
    process.stderr.write(`${seconds.toFixed(0)} s: ${left} wait\n`);
    await sleep(left > FEW ? 10_000 : 1000);
  }
  drained = true;
  const seconds = (performance.now() - startMs) / 1000;
  const busy = await meanwhile;
  const { mostInASecond } = await sending.rate();
  process.stdout.write(
    [
      `${ORDERS * EACH} refunds on ${ORDERS} orders drained in ${seconds.toFixed(0)} s (target ${TARGET_SECONDS.toFixed(0)} s), at most ${mostInASecond} in a rolling second`,
      `intake p99: ${p99(calm).toFixed(1)} ms before, ${p99(busy).toFixed(1)} ms while it drained (${calm.length} and ${busy.length} asked)`,
      `RSS ${(await sending.service.rssMb()).toFixed(0)} MB\n`,
    ].join('\n'),
  );
} finally {
  await stage.close();
}
