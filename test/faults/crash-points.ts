import type { Trap } from './life.js';

/** What is done until a life has ended at its point (scenarios.ts). */
export type Scenario = 'refunds' | 'events' | 'gone_endpoint' | 'key_rotation' | 'new_key' | 'migration' | 'shutdown';

/** A point at which a life of the service ends, defined from outside: no line of src knows of it. */
export interface CrashPoint {
  /** The number of the fault catalogue, with a letter where it has several points. */
  readonly id: string;
  readonly where: string;
  readonly scenario: Scenario;
  readonly trap: Trap;
  /** How often the scenario surely passes it; the seed chooses which time is the last one. */
  readonly times: number;
}

const INTAKE = 'INSERT INTO refund \\(';
const CLAIMED = "SET state = 'submitting'";
const BOOK = 'UPDATE refund r SET version = v\\.version';
const ANSWER = '"cause":"answer"';
const QUERY = '"cause":"query"';
const STORE_NOTICE = 'INSERT INTO notification';
const FIND_NOTICE = 'FROM with_archive\\.notification n WHERE n\\.mch_id = a\\.mch_id';

const ASK = '^POST /v1/refunds$';
const NOTIFY = '^POST /notify/wechat/\\w+/refund$';
const SEND = '^POST (/secapi/pay/refund|/v3/refund/domestic/refunds)$';
const INQUIRE = '^(POST /pay/refundquery|GET /v3/refund/domestic/refunds/)';
const RECEIVER = '^POST /events$';
const GONE = '^POST /gone';

const database = (
  statement: string,
  moment: Extract<Trap, { seam: 'database' }>['moment'],
  more: Pick<Extract<Trap, { seam: 'database' }>, 'having' | 'alone'> = {},
): Trap => ({ seam: 'database', statement, moment, ...more });
const wire = (request: string, moment: Extract<Trap, { seam: 'wire' }>['moment']): Trap => ({
  seam: 'wire',
  request,
  moment,
});
const server = (request: string, moment: Extract<Trap, { seam: 'server' }>['moment']): Trap => ({
  seam: 'server',
  request,
  moment,
});

const refunds = (id: string, where: string, trap: Trap, times = 3): CrashPoint => ({
  id,
  where,
  scenario: 'refunds',
  trap,
  times,
});

/** Every point. test/faults/README.md says why the numbers that are missing here cannot exist. */
export const CRASH_POINTS: readonly CrashPoint[] = [
  refunds('C01', 'before the intake statement', database(INTAKE, 'before', { alone: true })),
  refunds('C04', 'the intake statement has committed, its reply is lost', database(INTAKE, 'replied', { alone: true })),
  refunds('C05', 'before the first byte of the answer to the caller', server(ASK, 'before')),
  refunds('C06', 'half of the answer to the caller is written', server(ASK, 'half')),
  refunds('C07', 'refunds are claimed, before COMMIT', database(CLAIMED, 'replied')),
  refunds('C08', 'the claim is committed, before its slot', database('^COMMIT', 'taken', { having: [CLAIMED] })),
  refunds(
    'C08b',
    'the claim is committed, the reply of its COMMIT is lost',
    database('^COMMIT', 'replied', { having: [CLAIMED] }),
  ),
  refunds('C09', 'the slot has come, before the first byte to WeChat', wire(SEND, 'before')),
  refunds('C10', 'half of the request to WeChat is written', wire(SEND, 'half')),
  refunds('C11', 'the request to WeChat is written, no answer yet', wire(SEND, 'written')),
  refunds('C12', 'the headers of WeChat’s answer are read, its body is not', wire(SEND, 'headers')),
  refunds('C13', 'WeChat’s answer has come, before it is verified', wire(SEND, 'answered')),
  refunds(
    'C14',
    'WeChat’s answer is verified, before anything of it is written',
    database('AS troubled FROM merchant_rate', 'before'),
  ),
  refunds(
    'C15',
    'state, event and outgoing event of an answer are written, before COMMIT',
    database(BOOK, 'replied', { having: [ANSWER] }),
  ),
  refunds(
    'C17',
    'an answer is committed, the reply of its COMMIT is lost',
    database('^COMMIT', 'replied', { having: [BOOK, ANSWER] }),
  ),
  refunds('C19', 'the body of a notice is read, nothing more', server(NOTIFY, 'received')),
  refunds('C20', 'a notice is verified, before its transaction', database(FIND_NOTICE, 'before')),
  refunds('C21', 'a notice is inserted, before COMMIT', database(STORE_NOTICE, 'replied')),
  refunds(
    'C22',
    'a notice is committed, the reply of its COMMIT is lost',
    database('^COMMIT', 'replied', { having: [STORE_NOTICE] }),
  ),
  refunds('C23', 'a notice is committed, before the first byte of SUCCESS', server(NOTIFY, 'before')),
  refunds('C24', 'half of SUCCESS is written', server(NOTIFY, 'half')),
  refunds('C25', 'a notice waits, before the first byte of its query', wire(INQUIRE, 'before')),
  refunds('C26', 'the query has its answer, before it is booked', wire(INQUIRE, 'answered')),
  refunds(
    'C27',
    'refund and notice are written, before COMMIT',
    database('^COMMIT', 'before', { having: [BOOK, STORE_NOTICE] }),
  ),
  refunds(
    'C31',
    'the answer to a query is being booked, before the refund is written',
    database(BOOK, 'before', { having: [QUERY] }),
  ),
  {
    id: 'C28',
    where: 'an event is claimed, before the first byte of its POST',
    scenario: 'events',
    trap: wire(RECEIVER, 'before'),
    times: 5,
  },
  {
    id: 'C29',
    where: 'the receiver has answered 200, before it is booked',
    scenario: 'events',
    trap: wire(RECEIVER, 'answered'),
    times: 5,
  },
  {
    id: 'C30',
    where: 'the receiver has answered 410, before it is disabled',
    scenario: 'gone_endpoint',
    trap: wire(GONE, 'answered'),
    times: 1,
  },
  {
    id: 'C33',
    where: 'a table is sealed anew, the next one is not',
    scenario: 'key_rotation',
    trap: database('UPDATE \\w+ t SET kek_id', 'replied', { alone: true }),
    times: 2,
  },
  {
    id: 'C34',
    where: 'new credentials are committed, before anybody has forgotten the old ones',
    scenario: 'new_key',
    trap: database('^COMMIT', 'replied', { having: ['INSERT INTO credential'] }),
    times: 1,
  },
  {
    id: 'C35',
    where: 'a migration has run, before it is noted and committed',
    scenario: 'migration',
    trap: database('CREATE TABLE (?!IF)', 'replied'),
    times: 3,
  },
  {
    id: 'C36',
    where: 'during a shutdown WeChat’s answer has come, before it is verified',
    scenario: 'shutdown',
    trap: wire(SEND, 'answered'),
    times: 1,
  },
];
