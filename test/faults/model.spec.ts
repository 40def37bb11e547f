import { campaign } from './model/campaign.js';
import { withoutLog } from './model/log-capture.js';

const { MODEL_SEED, MODEL_PATH, MODEL_REPLAY, MODEL_RUNS, MODEL_SHRINK, MODEL_MINUTES } = process.env;

/** In CI; the long run names its own number. */
const RUNS = Number(MODEL_RUNS ?? 300);
const LANES = 6;
/** A campaign that takes longer, with the shrinking of what it has found, is cut off and fails. */
const MINUTES_MAX = Number(MODEL_MINUTES ?? 10);
const seed = Number(MODEL_SEED ?? Date.now() % 2 ** 31);
const isReplay = MODEL_PATH !== undefined;

it(
  `whatever callers, WeChat, its way and the machines do, the books are right at every step and in the end (seed ${seed})`,
  async () => {
    const fromMs = performance.now();
    const { result, stumbles } = await withoutLog(() =>
      campaign({
        seed,
        runs: RUNS,
        lanes: isReplay ? 1 : LANES,
        withinMs: MINUTES_MAX * 60_000,
        shrinks: MODEL_SHRINK !== '0',
        ...(MODEL_PATH !== undefined && { path: MODEL_PATH }),
        ...(MODEL_REPLAY !== undefined && { replayPath: MODEL_REPLAY }),
      }),
    );
    const { runs, commands, seen, missing } = result;
    const seconds = Math.round((performance.now() - fromMs) / 1000);
    const counts = [...seen].sort(([, a], [, b]) => a - b).map(([what, count]) => `${count} × ${what}`);
    console.log(`model: ${runs} runs, ${commands} commands, ${seconds} s, seed ${seed}\n${counts.join('\n')}`);
    expect(stumbles).toEqual([]);
    if (isReplay) return;
    // What was never seen makes the campaign void: it shows nothing about it.
    expect(missing).toEqual([]);
  },
  (MINUTES_MAX + 5) * 60_000,
);
