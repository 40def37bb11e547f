/**
 * The load generator, a process of its own: a closed loop over raw sockets, one request under way on each. Requests are prepared as
 * bytes before the clock starts. It is told over its channel what to prepare and against which port to run it.
 */
import { createConnection } from 'node:net';
import { REQUESTS } from './requests.mjs';

const HEAD_END = Buffer.from('\r\n\r\n');

/** Sends `requests` over `connections` sockets. Seconds, latencies in ms, and how many were not answered with `status`. */
function run({ port, requests, connections, status }) {
  return new Promise((resolve) => {
    const latencies = new Float64Array(requests.length);
    const state = { next: 0, done: 0, bad: 0, firstBad: null };
    const startMs = performance.now();
    const finish = () => resolve({ seconds: (performance.now() - startMs) / 1000, latencies, ...state });
    const answered = (place, sentMs, answer) => {
      latencies[place] = performance.now() - sentMs;
      if (!status.includes(answer.status)) {
        state.bad += 1;
        state.firstBad ??= answer.text();
      }
      state.done += 1;
      if (state.done === requests.length) finish();
    };
    for (let line = 0; line < Math.min(connections, requests.length); line += 1) talk(port, requests, state, answered);
  });
}

/** One connection: sends the next request once the last is answered; connects anew when the server closes. */
function talk(port, requests, state, answered) {
  let socket;
  let place = -1;
  let sentMs = 0;
  let received = Buffer.alloc(0);
  const send = () => {
    if (state.next >= requests.length) return socket.end();
    place = state.next++;
    sentMs = performance.now();
    received = Buffer.alloc(0);
    socket.write(requests[place]);
  };
  const connect = () => {
    socket = createConnection({ port, host: '127.0.0.1', noDelay: true }, send);
    socket.on('data', (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const answer = answerIn(received);
      if (!answer) return;
      answered(place, sentMs, answer);
      if (!answer.closes) return send();
      socket.destroy();
      if (state.next < requests.length) connect();
    });
    socket.on('error', (error) => {
      answered(place, sentMs, { status: 0, text: () => String(error) });
      if (state.next < requests.length) connect();
    });
  };
  connect();
}

/** Null until the answer is whole. */
function answerIn(bytes) {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return null;
  const head = bytes.latin1Slice(0, end).toLowerCase();
  const length = Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1] ?? 0);
  if (bytes.length < end + 4 + length) return null;
  const closes = head.includes('\r\nconnection: close');
  return { status: Number(head.slice(9, 12)), closes, text: () => bytes.toString() };
}

const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

let prepared = [];
process.on('message', async (message) => {
  if (message.kind === 'prepare') {
    prepared = REQUESTS[message.load](message);
    return process.send({ kind: 'prepared', count: prepared.length });
  }
  const requests = prepared.slice(message.from, message.to);
  const { latencies, seconds, bad, firstBad } = await run({ ...message, requests });
  latencies.sort();
  const latencyMs = { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) };
  process.send({
    kind: 'ran',
    count: requests.length,
    perSecond: requests.length / seconds,
    seconds,
    latencyMs,
    bad,
    firstBad,
  });
});
process.on('disconnect', () => process.exit(0));
