import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { type MadeCertificate, makeCertificate } from '../support/certificate.js';
import { freePort, type Json, Stack, unique } from './support/stack.js';

let stack: Stack;
let server: Server;
afterEach(async () => {
  server.close();
  await stack.close();
});

/** The simulator's own authority, which the service is told to trust. */
function authority(): MadeCertificate {
  const { ca } = stack.ports;
  return { certificate: readFileSync(ca, 'utf8'), key: readFileSync(join(dirname(ca), 'ca-key.pem'), 'utf8') };
}

/** What somebody in the place of WeChat hears; true for the certificate he shows. */
it.each<[string, () => MadeCertificate, boolean]>([
  ['of an unknown authority', () => makeCertificate('localhost'), false],
  ['for another host', () => makeCertificate('api.example.invalid', { issuer: authority() }), false],
  ['as it should be', () => makeCertificate('localhost', { issuer: authority() }), true],
])('a server with a certificate %s hears what it may hear', async (_, certificate, trusted) => {
  const port = await freePort();
  stack = await Stack.start({ WECHATPAY_BASE_URL: `https://localhost:${port}` });
  const { key, certificate: cert } = certificate();
  let heard = '';
  server = createServer({ key, cert, requestCert: true, rejectUnauthorized: false }, (socket) => {
    socket.on('error', () => undefined).on('data', (chunk: Buffer) => (heard += chunk.toString()));
  }).on('tlsClientError', () => undefined);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const merchant = await stack.merchant();
  const order = await stack.ok('POST', '/v1/orders/register', {
    appid: merchant.appid,
    out_trade_no: `T${unique()}`,
    amount: 100,
    paid_at: new Date().toISOString(),
    verify: false,
  });
  const { id, out_refund_no: number } = await stack.ok('POST', '/v1/refunds', {
    order: order['id'],
    amount: 1,
    out_refund_no: `R${unique()}`,
  });
  const calls = async (): Promise<Json[]> => (await stack.timeline(String(id))).filter(({ kind }) => kind === 'call');
  await stack.eventually(
    calls,
    // A slot that was missed on a busy machine is none of the ends waited for.
    (called) => heard !== '' || called.some(({ detail }) => JSON.stringify(detail).includes('not_connected')),
  );
  // Read once more: the server may have heard of it since the last look.
  expect((await calls()).length).toBeGreaterThan(0);
  expect(heard.includes(String(number))).toBe(trusted);
  if (trusted) return;
  expect(heard).toBe('');
  expect(await stack.until(String(id), 'queued')).toMatchObject({ attempts: 0, in_doubt: false });
});
