import { setTimeout as sleep } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { incident, log } from '../common/log.js';
import { Settings } from '../config/settings.js';
import { WorkerUnitOfWork } from '../database/unit-of-work.js';
import { type Warning, Warnings } from './warnings.js';

const EVERY_MS = 60_000;

/** Takes the day's turn of each warning; gives those that nobody had taken, whichever instance asks first. $1 the list. */
const RAISE_SQL = `
  INSERT INTO warning AS w (subject, code, raised_on)
  SELECT v.subject, v.code, (c.now AT TIME ZONE 'UTC')::date
  FROM jsonb_to_recordset($1::jsonb) AS v(subject text, code text), (SELECT tuikuan_now() AS now) c
  ORDER BY 1, 2
  ON CONFLICT (subject, code) DO UPDATE SET raised_on = excluded.raised_on WHERE w.raised_on < excluded.raised_on
  RETURNING subject, code`;

/** Makes an incident of every warning that stands, once a day for each threshold over all instances together. */
@Injectable()
export class WarningWatch implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly stop = new AbortController();
  private loop: Promise<void> = Promise.resolve();

  constructor(
    private readonly uow: WorkerUnitOfWork,
    private readonly warnings: Warnings,
    private readonly settings: Settings,
  ) {}

  onApplicationBootstrap(): void {
    if (this.settings.role !== 'api') this.loop = this.run();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stop.abort();
    await this.loop;
  }

  /** Raises what is due; gives what this call has raised. */
  async raise(): Promise<readonly Warning[]> {
    const due = (await this.warnings.standing()).filter(({ isDue }) => isDue);
    if (due.length === 0) return [];
    const keys = due.map((warning) => ({ subject: subjectOf(warning), code: warning.code }));
    const taken = await this.uow.query<{ subject: string; code: string }>(RAISE_SQL, [JSON.stringify(keys)]);
    const isTaken = (warning: Warning): boolean =>
      taken.some(({ subject, code }) => subject === subjectOf(warning) && code === warning.code);
    const raised = due.filter(isTaken);
    for (const { code, mchId, subject, endsAt } of raised) {
      const name = code === 'merchant_paused' ? 'merchant_still_paused' : code;
      incident(name, { ...(mchId !== null && { mchId }), subject, ...(endsAt !== null && { endsAt }) });
    }
    return raised;
  }

  private async run(): Promise<void> {
    while (!this.stop.signal.aborted) {
      await this.raise().catch((error: unknown) => log.error('warnings could not be read', { cause: error }));
      await sleep(EVERY_MS, undefined, { signal: this.stop.signal }).catch(() => undefined);
    }
  }
}

function subjectOf({ mchId, subject }: Warning): string {
  return mchId === null ? subject : `${mchId} ${subject}`;
}
