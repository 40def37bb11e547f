import { crashRound, POINT_IDS } from './crash-campaign.js';
import { Fired } from './fired.js';
import { KillingRunner } from './killing-runner.js';
import { Shop } from './shop.js';
import { SEED, summary } from './support/campaign.js';

const ROUNDS = Number(process.env['ROUNDS_KILLED'] ?? 1);

let shop: Shop;
let runner: KillingRunner;
const fired = new Fired('killed at every point', POINT_IDS);

beforeAll(async () => {
  shop = await Shop.build();
  runner = await KillingRunner.on(shop.stack);
  await runner.start();
  await shop.open();
});
afterAll(async () => {
  await runner.close();
  await shop.close();
});

describe(`the built service killed by SIGKILL at every point (SEED=${SEED})`, () => {
  it.each(Array.from({ length: ROUNDS }, (_, round) => SEED + round))(
    'and started again comes to rest with everything whole (seed %i)',
    async (seed) => {
      expect(await crashRound({ shop, runner, fired }, seed)).toEqual([]);
    },
    600_000,
  );

  it('was killed at each of them', () => {
    fired.assertAll();
    for (const id of POINT_IDS) expect([id, fired.of(id)]).toEqual([id, ROUNDS]);
    summary('crash points, killed', { points: POINT_IDS.length, rounds: ROUNDS, pairs: shop.pairs.size });
  });
});
