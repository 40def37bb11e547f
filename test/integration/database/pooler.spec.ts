import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { behindPooler } from '../../../src/database/pooler.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

/** BackendKeyData, up to the number of the process. */
const KEY_MESSAGE = Buffer.from([0x4b, 0, 0, 0, 12]);

let database: TestDatabase;
let server: Server;
let pooledUrl: string;

/** Stands before PostgreSQL and gives connections numbers of its own, as poolers do. */
beforeAll(async () => {
  database = await createTestDatabase();
  const url = new URL(database.url);
  const target = { host: url.hostname, port: Number(url.port) };
  server = createServer((client) => {
    const behind = connect(target);
    client.pipe(behind);
    behind.on('data', (chunk: Buffer) => {
      const at = chunk.indexOf(KEY_MESSAGE);
      if (at >= 0) chunk.writeInt32BE(1, at + KEY_MESSAGE.length);
      client.write(chunk);
    });
    for (const socket of [client, behind]) socket.on('close', () => [client, behind].forEach((one) => one.destroy()));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  url.port = String((server.address() as AddressInfo).port);
  pooledUrl = url.href;
});
afterAll(async () => {
  server.close();
  await database.close();
});

it('tells a pooler from PostgreSQL itself', async () => {
  expect([await behindPooler(pooledUrl), await behindPooler(database.url)]).toEqual([true, false]);
});
