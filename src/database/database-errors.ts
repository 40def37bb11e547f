import { AppError } from '../common/problem.js';

/** SQLSTATEs that mean "not now, perhaps later"; by class where the whole class does. */
const LOST_SQLSTATES: readonly string[] = [
  '08', // connection exception
  '25006', // read-only: a standby after a failover
  '25P03', // idle in transaction for too long
  '25P04', // transaction_timeout
  '53', // too many connections, out of memory, disk full
  '57', // shutdown, crash, starting up, statement timeout
  '58', // input or output error of the machine
];

/** What Node says when there is no connection. */
const LOST_CODES: readonly string[] = [
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
];

/** What pg and TypeORM say, without any code, about a killed connection, an exhausted pool or a reply that did not come (faults.md 1.6). */
const LOST_MESSAGES =
  /timeout exceeded when trying to connect|Connection terminated|already released|Query read timeout|not queryable|timeout expired|Cannot use a pool/i;

interface DriverError {
  readonly code?: unknown;
  readonly constraint?: string;
  readonly routine?: string;
  readonly message?: string;
}

/**
 * The database is away, too slow or too busy: 503 with Retry-After for the caller. If it was thrown at a COMMIT, the outcome
 * is unknown and is read back by natural key; nothing is inserted blindly again. `cause` is the driver's error.
 */
export class DatabaseUnavailable extends AppError {
  constructor(cause: unknown) {
    super('temporarily_unavailable', 'The database did not answer in time.', { cause });
  }
}

/** The five characters PostgreSQL gave the error; null for errors that are not its own. */
export function sqlstateOf(error: unknown): string | null {
  const { code } = driverErrorOf(error);
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !LOST_CODES.includes(code) ? code : null;
}

/** The name of the constraint a statement broke (23505, 23514, 23503, 23502); null for any other error. */
export function constraintOf(error: unknown): string | null {
  return sqlstateOf(error)?.startsWith('23') ? (driverErrorOf(error).constraint ?? null) : null;
}

/** True when a row lock did not come within lock_timeout; also of the {@link DatabaseUnavailable} it became. */
export function isLockTimeout(error: unknown): boolean {
  return sqlstateOf(error instanceof DatabaseUnavailable ? error.cause : error) === '55P03';
}

/** True when the connection was lost, none could be had, or no reply came. */
export function isLost(error: unknown): boolean {
  const sqlstate = sqlstateOf(error);
  if (sqlstate !== null) return LOST_SQLSTATES.some((start) => sqlstate.startsWith(start));
  const { code, message } = driverErrorOf(error);
  return LOST_CODES.includes(String(code)) || LOST_MESSAGES.test(message ?? '');
}

/** True when a named statement was prepared before a migration changed the columns it gives. */
export function isStalePlan(error: unknown): boolean {
  return sqlstateOf(error) === '0A000' && driverErrorOf(error).routine === 'RevalidateCachedQuery';
}

/** TypeORM wraps what the driver threw. */
function driverErrorOf(error: unknown): DriverError {
  if (typeof error !== 'object' || error === null) return {};
  return 'driverError' in error ? (error.driverError as DriverError) : error;
}
