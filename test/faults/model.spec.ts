import { campaign } from './model/campaign.js';

const { MODEL_SEED, MODEL_PATH, MODEL_REPLAY, MODEL_RUNS, MODEL_LANES, MODEL_MINUTES } = process.env;

/** How often in CI; the long run names its own number. */
const RUNS = Number(MODEL_RUNS ?? 300);
const LANES = Number(MODEL_LANES ?? 8);
const seed = Number(MODEL_SEED ?? Date.now() % 2 ** 31);
/** Past this, a failure is reported as far as it has been shrunk by then. */
const MINUTES_MAX = Number(MODEL_MINUTES ?? 5);
const isReplay = MODEL_PATH !== undefined;

it(`whatever callers, WeChat, its way and the machines do, the books are right at every step and in the end (seed ${seed})`, async () => {
  const fromMs = performance.now();
  const { runs, commands, seen, missing } = await campaign({
    seed,
    runs: RUNS,
    withinMs: MINUTES_MAX * 60_000,
    lanes: isReplay ? 1 : LANES,
    ...(MODEL_PATH !== undefined && { path: MODEL_PATH }),
    ...(MODEL_REPLAY !== undefined && { replayPath: MODEL_REPLAY }),
  });
  const seconds = Math.round((performance.now() - fromMs) / 1000);
  console.log(`model: ${runs} runs, ${commands} commands, ${seconds} s, seed ${seed}\n${[...seen].map(([what, count]) => `${count} × ${what}`).join('\n')}`);
  if (isReplay) return;
  expect(missing).toEqual([]);
}, 3_600_000);
