import { fillOrders, fillRefunds } from './rows.mjs';

/**
 * The loads of the doors. `fill` puts the rows of orders from … to - 1 into a database, `requests` names what the generator makes of
 * them; reads take `count` requests over a fixed set of rows. `connections` 1 shows what one caller alone meets.
 */
export const LOADS = {
  intake: {
    title: 'refund intake',
    merchant: 'apply',
    requests: 'intake',
    fill: fillOrders,
    status: [201],
    connections: 64,
  },
  apply: notices('V2 notice, apply', 'apply', 'noticeV2'),
  confirm: notices('V2 notice, confirm', 'confirm', 'noticeV2'),
  v3: notices('v3 notice', 'v3', 'noticeV3'),
  get: {
    title: 'GET refund',
    merchant: 'apply',
    requests: 'get',
    reads: true,
    share: 4,
    status: [200],
    connections: 64,
  },
  list: {
    title: 'list page (20)',
    merchant: 'apply',
    requests: 'list',
    reads: true,
    share: 0.4,
    status: [200],
    connections: 64,
  },
  intake1: { title: 'refund intake, 1 connection', like: 'intake', connections: 1, share: 0.15 },
  apply1: { title: 'V2 notice, apply, 1 connection', like: 'apply', connections: 1, share: 0.15 },
};

function notices(title, merchant, requests) {
  const fill = (client, range) => fillRefunds(client, { ...range, state: 'accepted' });
  return { title, merchant, requests, fill, status: [200, 204], connections: 64 };
}

/** A load with what it takes over from the one it is like. */
export function loadNamed(name) {
  const load = LOADS[name];
  return { share: 1, ...(load.like && LOADS[load.like]), ...load, name };
}
