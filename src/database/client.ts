import pg from 'pg';

const CONNECT_TIMEOUT_MS = 5000;

/** Runs `work` on a connection of its own, which ends with it. Errors are the driver's. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
