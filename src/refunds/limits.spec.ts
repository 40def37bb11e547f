import * as limits from './limits.js';

describe('the times and limits', () => {
  it('are those of design.md 5, written out a second time', () => {
    expect({ ...limits }).toEqual({
      QUERY_GAPS_SECONDS: [10, 30, 60, 5 * 60, 15 * 60, 30 * 60, 3600, 6 * 3600],
      AFTERMATH_GAPS_SECONDS: [3600, 24 * 3600],
      AFTERMATH_RETRY_SECONDS: 5 * 60,
      QUERY_SPACING_SECONDS: 10,
      NOT_SENT_WAITS_SECONDS: [10, 60, 5 * 60],
      LATER_WAIT_SECONDS: 60,
      BALANCE_WAIT_SECONDS: 3600,
      LEASE_SECONDS: 60,
      DOUBT_SECONDS: 20 * 60,
      ATTEMPTS_MAX: 10,
      LOST_ACCEPTED_SECONDS: 24 * 3600,
      CONFIGURATION_FAILURES_MAX: 3,
      LONG_ACCEPTED_SECONDS: 3 * 24 * 3600,
      PROBE_GAP_SECONDS: 5 * 60,
      SLOTS_PER_CLAIM_MAX: 15,
      SLOT_TOLERANCE_MS: 20,
      SLOT_AHEAD_SECONDS: 0.6,
      SLOT_MISSED: 'slot_missed',
      QUERIES_PER_SECOND: 100,
      SYNC_WAIT_SECONDS: 15,
    });
  });
});
