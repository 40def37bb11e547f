import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { COMMAND_LINE } from '../access/caller.js';
import { Inbox } from '../notifications/inbox.js';
import { ListNotificationsQuery } from '../notifications/notifications.dto.js';
import { type Command, EXIT_CODES, type OptionValues, textOf, WrongUsage } from './command.js';
import { withService } from './service.js';

/** Options and the list's own filters. */
const FILTERS = {
  result: 'result',
  kind: 'kind',
  'mch-id': 'mch_id',
  'received-gte': 'created_gte',
  'received-lt': 'created_lt',
} as const;
const PAGE = '100';

/** Works on stored notices once more, as POST …/reprocess does on one. */
export const reprocessNotifications: Command = {
  options: {
    ...Object.fromEntries(Object.keys(FILTERS).map((name) => [name, { type: 'string' as const }])),
    all: { type: 'boolean' },
  },
  run: async (values, { environment, progress }) => {
    const query = queryOf(values);
    const { results, failed } = await withService(environment, (app) =>
      reprocessAll(app.get(Inbox), query, (done) => progress(`${done} notices`)),
    );
    const done = Object.values(results).reduce((sum, count) => sum + count, 0);
    const lines = [
      `${done} notices worked on`,
      ...Object.entries(results).map(([result, count]) => `${String(count).padStart(6)} ${result}`),
      ...failed.map(({ id, reason }) => `failed ${id}: ${reason}`),
    ];
    return { exitCode: failed.length > 0 ? EXIT_CODES.todo : EXIT_CODES.ok, lines, json: { done, results, failed } };
  },
};

interface Reprocessed {
  /** How many have which result now. */
  readonly results: Record<string, number>;
  readonly failed: { readonly id: string; readonly reason: string }[];
}

/** Page by page, newest first; the cursor goes by id, so notices whose result changes are neither left out nor met twice. */
async function reprocessAll(
  inbox: Inbox,
  query: ListNotificationsQuery,
  progress: (done: number) => void,
): Promise<Reprocessed> {
  const all: Reprocessed = { results: {}, failed: [] };
  let done = 0;
  for (let cursor: string | null = null, more = true; more; more = cursor !== null) {
    const page = await inbox.list({ ...query, limit: PAGE, ...(cursor !== null && { cursor }) });
    for (const { id } of page.data) {
      try {
        const { result } = await inbox.reprocess(COMMAND_LINE, id);
        all.results[result] = (all.results[result] ?? 0) + 1;
      } catch (error) {
        all.failed.push({ id, reason: error instanceof Error ? error.message : String(error) });
      }
    }
    done += page.data.length;
    if (page.next_cursor !== null) progress(done);
    cursor = page.next_cursor;
  }
  return all;
}

/** By the rules of GET /v1/notifications; without any filter only with --all. */
function queryOf(values: OptionValues): ListNotificationsQuery {
  const named = Object.entries(FILTERS).filter(([option]) => values[option] !== undefined);
  if ((named.length === 0) !== (values['all'] === true)) throw new WrongUsage('name filters, or --all');
  const query = plainToInstance(
    ListNotificationsQuery,
    Object.fromEntries(named.map(([option, filter]) => [filter, textOf(values, option)])),
  );
  const [fault] = validateSync(query);
  if (fault) throw new WrongUsage(Object.values(fault.constraints ?? {}).join('; '));
  return query;
}
