import Sequencer from '@jest/test-sequencer';

/** Files that take minutes, the longest first: begun last, they would run on alone while the other processors idle. */
const LONG = [
  'faults/crash-abandoned',
  'e2e/events-delivery',
  'faults/crash-killed',
  'integration/database/embedded-postgres',
  'faults/model',
  'faults/instances',
  'faults/database',
  'e2e/commands',
  'e2e/processes',
  'e2e/answers',
  'e2e/lifecycle',
  'faults/door',
  'faults/notices',
];

/** These mostly wait, for a service or for WeChat; the others mostly compute. */
const WAITS = /[\\/](e2e|faults)[\\/]/;

/**
 * The order of the test files; a clean clone knows no times of earlier runs. Those that wait stand between those that compute, so that
 * there is always work for a processor and never more than it can do.
 */
export default class LongFirst extends Sequencer {
  async sort(tests) {
    const sorted = await super.sort(tests);
    const rank = ({ path }) => {
      const place = LONG.findIndex((part) => path.includes(part));
      return place === -1 ? LONG.length : place;
    };
    const ranked = [...sorted].sort((a, b) => rank(a) - rank(b));
    const spread = [true, false].flatMap((waits) => {
      const group = ranked.filter(({ path }) => WAITS.test(path) === waits);
      return group.map((test, place) => ({ test, share: (place + 1) / group.length }));
    });
    return spread.sort((a, b) => a.share - b.share).map(({ test }) => test);
  }
}
