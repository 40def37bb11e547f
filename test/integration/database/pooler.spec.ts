import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { behindPooler } from '../../../src/database/pooler.js';
import { readOnly } from '../../../src/database/read-only.js';
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

it('makes temporary tables and reads them in one transaction, in which nothing else can be written', async () => {
  const seen: string[] = [];
  const transaction = 'SELECT pg_current_xact_id()::text AS xid';
  await readOnly(
    database.url,
    async (connection) => {
      seen.push((await connection.query<{ xid: string }>(transaction))[0]?.xid ?? '');
      await connection.query('INSERT INTO seen_once SELECT 1');
      expect(await connection.query('SELECT n FROM seen_once')).toEqual([{ n: 1 }]);
      await expect(connection.query('DELETE FROM merchant')).rejects.toMatchObject({ code: '25006' });
    },
    async (connection) => {
      await connection.query('CREATE TEMPORARY TABLE seen_once (n integer)');
      seen.push((await connection.query<{ xid: string }>(transaction))[0]?.xid ?? '');
    },
  );
  expect(new Set(seen).size).toBe(1);
});
