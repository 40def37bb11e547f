import { constraintOf, DatabaseUnavailable, isLockTimeout, isLost, sqlstateOf } from './database-errors.js';

const failed = (driverError: object): Error => Object.assign(new Error('query failed'), { driverError });

describe('a lost database is told apart from a faulty statement', () => {
  it.each([
    { code: '08006' },
    { code: '25006' },
    { code: '25P03' },
    { code: '53300' },
    { code: '57P01' },
    { code: '57014' },
    { code: '58030' },
    { code: 'ECONNREFUSED', message: '' },
    { code: 'EPIPE' },
    { code: 'ENOTFOUND' },
    { message: 'timeout exceeded when trying to connect' },
    { message: 'Connection terminated unexpectedly' },
    { message: 'Connection terminated due to connection timeout' },
    { message: 'Query read timeout' },
    { message: 'Client has encountered a connection error and is not queryable' },
  ])('%j is lost, wrapped by TypeORM or not', (error) => {
    expect([isLost(error), isLost(failed(error))]).toEqual([true, true]);
  });

  it('so is what TypeORM says of a connection that died while it was held', () => {
    expect(isLost(new Error('Query runner already released. Cannot run queries anymore.'))).toBe(true);
  });

  it.each([
    { code: '23505' },
    { code: '42601' },
    { code: '40001' },
    { code: '22P02' },
    { message: 'broken' },
    {},
    null,
    'text',
  ])('%j is not', (error) => {
    expect(isLost(error)).toBe(false);
  });
});

it('a constraint is named for integrity errors only', () => {
  expect(constraintOf(failed({ code: '23505', constraint: 'refund_out_refund_no_key' }))).toBe(
    'refund_out_refund_no_key',
  );
  expect(constraintOf(failed({ code: '42501', constraint: 'refund_out_refund_no_key' }))).toBeNull();
  expect(constraintOf(failed({ code: '23505' }))).toBeNull();
});

it('a lock timeout is seen through the refusal it became', () => {
  const error = failed({ code: '55P03' });
  expect([isLockTimeout(error), isLockTimeout(new DatabaseUnavailable(error))]).toEqual([true, true]);
  expect(isLockTimeout(new DatabaseUnavailable(failed({ code: '40P01' })))).toBe(false);
});

it('a name of Node’s errors is no SQLSTATE, though it looks like one', () => {
  expect(sqlstateOf({ code: 'EPIPE' })).toBeNull();
});

it('what callers are told holds nothing of the statement', () => {
  const error = new DatabaseUnavailable(failed({ code: '57014', query: 'SELECT secret' }));
  expect([error.status, error.detail]).toEqual([503, 'The database did not answer in time.']);
});
