import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { dataSourceOptions } from '../../../src/database/data-source.js';
import { placeOf } from '../../../src/database/embedded-place.js';
import { postmasterOf } from '../../../src/database/embedded-postmaster.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/database/embedded-postgres.js';
import { DatabaseUnavailable, UnitOfWork } from '../../../src/database/unit-of-work.js';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
const asRoot = isRoot ? it : it.skip;

let directory: string;
const servers: EmbeddedPostgres[] = [];
const owners: ChildProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tuikuan-embedded-'));
  await chmod(directory, 0o755);
});

afterEach(async () => {
  for (const owner of owners.splice(0)) owner.kill('SIGKILL');
  for (const server of servers.splice(0)) await server.stop();
  await rm(directory, { recursive: true, force: true });
});

async function start(home = directory): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres(home);
  servers.push(server);
  return server;
}

/** The built service in a process of its own, which prints the address and then waits. */
async function startInProcess(
  options: { uid?: number; gid?: number } = {},
): Promise<{ owner: ChildProcess; url: string }> {
  const built = new URL('../../../dist/database/embedded-postgres.js', import.meta.url).href;
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(built)};
    const server = await startEmbeddedPostgres(${JSON.stringify(directory)});
    process.once('SIGTERM', () => server.stop().then(() => process.exit(0)));
    setInterval(() => undefined, 1000);
    console.log(server.url);`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
    ...options,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  owners.push(owner);
  const [url] = (await once(createInterface(owner.stdout), 'line')) as [string];
  return { owner, url };
}

async function ask<T>(url: string, sql: string): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ answer: T }>(sql);
    return rows[0]?.answer as T;
  } finally {
    await client.end();
  }
}

const cluster = (): string => join(directory, 'postgres');

describe('the embedded PostgreSQL', () => {
  it('is a real server on 127.0.0.1 only, with fsync, UTF-8, the C locale and UTC, behind a password', async () => {
    const { url } = await start();
    const setting = (name: string): Promise<string> => ask(url, `SELECT current_setting('${name}') AS answer`);
    expect(await setting('listen_addresses')).toBe('127.0.0.1');
    expect(await setting('unix_socket_directories')).toBe('');
    expect(await setting('fsync')).toBe('on');
    expect(await setting('server_encoding')).toBe('UTF8');
    expect(await setting('timezone')).toBe('UTC');
    expect(await ask(url, `SELECT datcollate AS answer FROM pg_database WHERE datname = current_database()`)).toBe('C');
    await expect(ask(url.replace(/:[^:@]+@/, ':guess@'), 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    const { mode } = await stat(join(directory, 'postgres-password'));
    expect(mode & 0o777).toBe(0o600);
  });

  it('keeps what was committed, and its password, over a stop and a start', async () => {
    const first = await start();
    await ask(first.url, 'CREATE TABLE kept AS SELECT 7 AS answer');
    await first.stop();
    await expect(ask(first.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(await ask((await start()).url, 'SELECT answer FROM kept')).toBe(7);
  });

  it('joins the server that a killed process left behind, and ends it when it stops itself', async () => {
    const { owner, url } = await startInProcess();
    await ask(url, 'CREATE TABLE kept AS SELECT 7 AS answer');
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    const server = await start();
    expect(server.url).toBe(url);
    expect(await ask(server.url, 'SELECT answer FROM kept')).toBe(7);
    await server.stop();
    expect(postmasterOf(cluster())).toBeNull();
  });

  it('starts again after the server itself was killed, with everything that was committed', async () => {
    const { url } = await start();
    await ask(url, 'CREATE TABLE kept AS SELECT 7 AS answer');
    process.kill(postmasterOf(cluster())?.pid ?? 0, 'SIGKILL');
    expect(await ask((await start()).url, 'SELECT answer FROM kept')).toBe(7);
  });

  it('takes a service that uses it through its own death: no crash, refusals that may be repeated', async () => {
    const { url } = await start();
    const source = await new DataSource(dataSourceOptions({ url, namedStatements: true, poolMax: 3 })).initialize();
    const uow = new UnitOfWork(source);
    await Promise.all([1, 2, 3].map(() => uow.query('SELECT pg_sleep(0.05)', [])));
    const held = uow.run((tx) => tx.query('SELECT pg_sleep(2)'));
    const died = expect(held).rejects.toBeInstanceOf(DatabaseUnavailable);
    await uow.query('SELECT 1', []);
    process.kill(postmasterOf(cluster())?.pid ?? 0, 'SIGQUIT');
    await died;
    await expect(uow.query('SELECT 1', [])).rejects.toBeInstanceOf(DatabaseUnavailable);
    await source.destroy();
  });

  it('does not take a program that has the number of a dead server for that server', async () => {
    await (await start()).stop();
    const uid = (await stat(cluster())).uid;
    const stranger = spawn('sleep', ['60'], isRoot ? { uid } : {});
    owners.push(stranger);
    await writeFile(join(cluster(), 'postmaster.pid'), `${stranger.pid}\n${cluster()}\n1\n1\n\n127.0.0.1\n0\nready\n`);
    expect(await ask((await start()).url, 'SELECT 1 AS answer')).toBe(1);
    expect(stranger.exitCode).toBeNull();
  });

  it('is shared by two services of one directory: the first to stop leaves it to the other, the last one ends it', async () => {
    const [first, second] = await Promise.all([startInProcess(), startInProcess()]);
    expect(second.url).toBe(first.url);
    first.owner.kill('SIGTERM');
    await once(first.owner, 'exit');
    expect(await ask(second.url, 'SELECT 1 AS answer')).toBe(1);
    second.owner.kill('SIGTERM');
    await once(second.owner, 'exit');
    expect(postmasterOf(cluster())).toBeNull();
    expect((await readdir(directory)).sort()).toEqual([
      'postgres',
      'postgres-password',
      'postgres-users',
      'postgres.log',
    ]);
  });

  it('survives a Ctrl-C meant for the service: it is in a process group of its own', async () => {
    await start();
    const pid = postmasterOf(cluster())?.pid ?? 0;
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
    expect([Number(fields[2]), Number(fields[3])]).toEqual([pid, pid]);
  });

  it('gives the server none of our environment, where keys may be', async () => {
    process.env['TUIKUAN_TEST_SECRET'] = 'a key';
    await start();
    delete process.env['TUIKUAN_TEST_SECRET'];
    const environment = await readFile(`/proc/${postmasterOf(cluster())?.pid}/environ`, 'utf8');
    expect(environment).not.toContain('TUIKUAN_TEST_SECRET');
  });

  it('says so when the password beside a database is not its own', async () => {
    await (await start()).stop();
    await writeFile(join(directory, 'postgres-password'), 'another');
    await expect(start()).rejects.toThrow('another password');
    expect(postmasterOf(cluster())).toBeNull();
  });

  it('says what PostgreSQL said when it does not start', async () => {
    await mkdir(cluster(), { mode: 0o700 });
    if (isRoot) await run('chown', ['nobody', cluster()]);
    await expect(start()).rejects.toThrow(/did not start: .*PG_VERSION|did not start: .*postgresql.conf/s);
  });

  asRoot('does not run as root', async () => {
    await start();
    const pid = postmasterOf(cluster())?.pid;
    expect((await stat(`/proc/${pid}`)).uid).not.toBe(0);
  });

  asRoot('runs for another user, in that user’s own directory, and later for root on the same one', async () => {
    const [uid, gid] = [65_534, 65_534];
    await chown(directory, uid, gid);
    const { owner, url } = await startInProcess({ uid, gid });
    expect((await stat(`/proc/${postmasterOf(cluster())?.pid}`)).uid).toBe(uid);
    await ask(url, 'CREATE TABLE kept AS SELECT 7 AS answer');
    owner.kill('SIGTERM');
    await once(owner, 'exit');
    const server = await start();
    expect((await stat(`/proc/${postmasterOf(cluster())?.pid}`)).uid).toBe(uid);
    expect(await ask(server.url, 'SELECT answer FROM kept')).toBe(7);
  });

  asRoot('keeps its database elsewhere, and says where, when its user cannot enter the directory', async () => {
    await chmod(directory, 0o700);
    const lines: string[] = [];
    const place = await placeOf(directory, (line) => lines.push(line));
    try {
      expect(place.cluster.startsWith(directory)).toBe(false);
      expect(lines.join()).toContain(place.cluster);
      const server = await start();
      await ask(server.url, 'CREATE TABLE kept AS SELECT 7 AS answer');
      await server.stop();
      await chmod(directory, 0o755);
      expect(await ask((await start()).url, 'SELECT answer FROM kept')).toBe(7);
    } finally {
      for (const server of servers.splice(0)) await server.stop();
      await rm(dirname(place.cluster), { recursive: true, force: true });
    }
  });

  it('names DATABASE_URL where the platform has no binaries', async () => {
    const platform = Object.getOwnPropertyDescriptor(process, 'platform');
    Object.defineProperty(process, 'platform', { value: 'aix' });
    try {
      await expect(start()).rejects.toThrow('set DATABASE_URL');
    } finally {
      Object.defineProperty(process, 'platform', platform ?? {});
    }
  });
});
