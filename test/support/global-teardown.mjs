import { rm } from 'node:fs/promises';

export default async function globalTeardown() {
  const { postgres, directory } = globalThis.tuikuanTestPostgres;
  await postgres.stop();
  await rm(directory, { recursive: true, force: true });
}
