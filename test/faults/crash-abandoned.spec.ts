import { AbandoningRunner } from './abandoning-runner.js';
import { crashRound, POINT_IDS } from './crash-campaign.js';
import { Fired } from './fired.js';
import { Shop } from './shop.js';
import { SEED, summary } from './support/campaign.js';

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);

let shop: Shop;
let runner: AbandoningRunner;
const fired = new Fired('abandoned at every point', POINT_IDS);

beforeAll(async () => {
  shop = await Shop.build();
  runner = await AbandoningRunner.on(shop.stack);
  await runner.start();
  await shop.open();
});
afterAll(async () => {
  await runner.close();
  await shop.close();
});

describe(`a service abandoned at every point (SEED=${SEED})`, () => {
  it.each(Array.from({ length: ROUNDS }, (_, round) => SEED + round))(
    'begun again on what it left, comes to rest with everything whole (seed %i)',
    async (seed) => {
      expect(await crashRound({ shop, runner, fired }, seed)).toEqual([]);
    },
    300_000,
  );

  it('was abandoned at each of them', () => {
    fired.assertAll();
    for (const id of POINT_IDS) expect([id, fired.of(id)]).toEqual([id, ROUNDS]);
    summary('crash points, abandoned', { points: POINT_IDS.length, rounds: ROUNDS, pairs: shop.pairs.size });
  });
});
