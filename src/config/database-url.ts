import { checkEnv } from './env.js';
import { SettingsFaulty } from './settings.js';

/**
 * DATABASE_URL alone, for tools that need no keys; null: the embedded PostgreSQL. Throws SettingsFaulty when it is no
 * address of a PostgreSQL.
 */
export function loadDatabaseUrl(raw: NodeJS.ProcessEnv): string | null {
  const { env, faults } = checkEnv({ DATABASE_URL: raw['DATABASE_URL'] });
  if (faults.length > 0) throw new SettingsFaulty(faults);
  return env.DATABASE_URL ?? null;
}
