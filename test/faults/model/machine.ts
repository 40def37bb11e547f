import fc from 'fast-check';
import { command } from './command.js';
import { Instance } from './instance.js';

const INSTANCES_MAX = 2;

const forward = fc.constantFrom(11, 11, 31, 61, 61, 310, 1300, 3700, 22_000, 90_000).map((seconds) =>
  command('forward', seconds, {
    async run(_ledger, world) {
      await world.forward(seconds);
      world.did('time moved on');
    },
  }),
);

const crash = fc.record({ which: fc.nat(1), steps: fc.oneof(fc.nat(4), fc.nat(40)) }).map(({ which, steps }) =>
  command(
    'crash',
    { which, steps },
    {
      run(_ledger, world) {
        world.reached(which).life.endAfter(steps);
        world.did('an instance was doomed');
        return Promise.resolve();
      },
    },
  ),
);

const second = fc.constant(null).map(() =>
  command('secondInstance', null, {
    can: ({ world }) => world.instances.length < INSTANCES_MAX,
    run(_ledger, world) {
      world.instances.push(new Instance(world.lane, world.wechat));
      world.did('a second instance was started');
      return Promise.resolve();
    },
  }),
);

/** What happens to the machines that the service runs on. */
export const MACHINE = { forward, crash, second };
