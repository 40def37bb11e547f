import type { Clock } from '../../common/clock.js';
import type { Settings } from '../../config/settings.js';
import { migrationStatus } from '../../database/migrations.js';
import { behindPooler, POOLER_ADVICE } from '../../database/pooler.js';
import type { UnitOfWork } from '../../database/unit-of-work.js';
import { type Check, fail, ok, warn } from './check.js';

const VERSION_MIN = 15;
/** The newest that the tests run on. */
const VERSION_TRIED = 18;
const SKEW_WARN_MS = 2000;
const SKEW_FAIL_MS = 60_000;

interface ServerRow {
  readonly version: number;
  readonly replica: boolean;
  readonly statement_timeout: string;
  readonly durable: boolean;
}

const SERVER_SQL = `
  SELECT current_setting('server_version_num')::integer / 10000 AS version, pg_is_in_recovery() AS replica,
    current_setting('statement_timeout') AS statement_timeout,
    current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS durable`;

/** The server: its version, whether it takes writes and keeps them, and the timeouts of our role. */
export async function checkServer(uow: UnitOfWork): Promise<Check[]> {
  const [server] = await uow.query<ServerRow>(SERVER_SQL, []);
  if (!server) return [];
  const { version, replica, statement_timeout: timeout, durable } = server;
  return [
    versionCheck(version),
    ...(replica ? [fail('database', 'this is a read replica', 'point DATABASE_URL at the primary')] : []),
    ...(durable
      ? []
      : [warn('database', 'a crash may lose commits', 'switch fsync and synchronous_commit on: refunds are money')]),
    ...(timeout === '0'
      ? [warn('database', 'the role has no statement_timeout', 'run migrate up as the owner, it prints the statement')]
      : []),
  ];
}

function versionCheck(version: number): Check {
  const name = 'database';
  if (version < VERSION_MIN) return fail(name, `PostgreSQL ${version}`, `use PostgreSQL ${VERSION_MIN} or newer`);
  if (version > VERSION_TRIED)
    return warn(name, `PostgreSQL ${version} answers`, `nobody has tried one newer than ${VERSION_TRIED}`);
  return ok(name, `PostgreSQL ${version} answers`);
}

/** Named statements belong to a session, which a pooler in transaction mode does not keep. */
export async function checkPooler(url: string, { databaseNamedStatements: named }: Settings): Promise<Check[]> {
  if (!(await behindPooler(url))) return [];
  const name = 'pooler';
  return named
    ? [warn(name, 'one stands before the database, and statements are named', POOLER_ADVICE)]
    : [ok(name, 'one stands before the database, and no statement is named')];
}

/** The schema beside the migrations of this service. */
export async function checkSchema(url: string): Promise<Check> {
  const migrations = await migrationStatus(url);
  const named = (state: string): string[] =>
    migrations.filter((migration) => migration.state === state).map(({ version }) => version);
  const missing = named('missing');
  const newer = named('newer');
  if (missing.length > 0)
    return fail('schema', `it lacks ${missing.join(', ')}`, 'run migrate up; the service does not start before');
  if (newer.length > 0)
    return warn('schema', `a newer service made ${newer.join(', ')}`, 'bring this service to the same version');
  return ok('schema', `${migrations.length} migrations, all applied`);
}

/** The clock of this machine beside the database's, which decides what is due. */
export async function checkDatabaseClock(uow: UnitOfWork, clock: Clock): Promise<Check> {
  const name = 'database clock';
  const beforeMs = clock.wallMs();
  const [row] = await uow.query<{ now: Date }>('SELECT tuikuan_now() AS now', []);
  const skewMs = (beforeMs + clock.wallMs()) / 2 - (row?.now.getTime() ?? NaN);
  const message = `this machine is ${describe(skewMs)} the database`;
  const todo = 'let both follow the same time server; v3 signatures are made by the clock of this machine';
  if (!(Math.abs(skewMs) < SKEW_FAIL_MS)) return fail(name, message, todo);
  return Math.abs(skewMs) < SKEW_WARN_MS ? ok(name, message) : warn(name, message, todo);
}

/** `0.2 s before` or `3 s behind`, with the thing it is compared to following. */
export function describe(skewMs: number): string {
  return `${Math.round(Math.abs(skewMs) / 100) / 10} s ${skewMs >= 0 ? 'before' : 'behind'}`;
}
