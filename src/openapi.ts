import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createApplication, openApiOf } from './application.js';
import { loadSettings } from './config/settings.js';

/** Writes openapi.json without a database: `npm run openapi`. CI fails when the file kept in the repository differs. */
const settings = loadSettings({
  DATABASE_URL: 'postgres://none/none',
  PUBLIC_URL: 'https://example.invalid',
  MASTER_KEYS: `none:${randomBytes(32).toString('base64')}`,
  MASTER_KEY_ACTIVE: 'none',
  ADMIN_API_KEY: randomBytes(24).toString('hex'),
});
const app = await createApplication(settings, 'postgres://none/none', { preview: true });
writeFileSync('openapi.json', `${JSON.stringify(openApiOf(app), null, 2)}\n`);
process.exit(0);
