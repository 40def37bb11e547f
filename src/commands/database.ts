import { loadDatabaseUrl } from '../config/database-url.js';
import { startEmbeddedPostgres } from '../database/embedded-postgres.js';
import type { CommandContext } from './command.js';

/**
 * Runs `work` on the database of DATABASE_URL, for commands that need no other setting; without it on the embedded one, which is started
 * for the time of the work. Throws SettingsFaulty.
 */
export async function withDatabase<T>(
  { environment, progress }: CommandContext,
  work: (url: string) => Promise<T>,
): Promise<T> {
  const url = loadDatabaseUrl(environment);
  if (url !== null) return work(url);
  const embedded = await startEmbeddedPostgres('.data', { log: progress });
  return work(embedded.url).finally(() => embedded.stop());
}
