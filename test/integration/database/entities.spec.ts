import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DataSource } from 'typeorm';
import { dataSourceOptions } from '../../../src/database/data-source.js';
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../../support/database.js';

type EntityClass = new () => object;

const SOURCE = fileURLToPath(new URL('../../../src', import.meta.url));

/** Every entity of the tree, so that a new one cannot be forgotten here. */
async function entitiesOfTheTree(): Promise<EntityClass[]> {
  const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.entity.ts'),
  );
  const entities: EntityClass[] = [];
  // One after the other: jest's module loader does not take several that share imports.
  for (const file of files) {
    const module = (await import(join(SOURCE, file))) as Record<string, EntityClass>;
    entities.push(...Object.values(module).filter((value) => typeof value === 'function'));
  }
  return entities;
}

/** What PostgreSQL says of the tables of a database. */
const SCHEMA_SQL = `
  SELECT format('column %s.%s %s %s %s', table_name, column_name, udt_name, is_nullable,
    replace(column_default, '''0''::bigint', '0')) AS line
    FROM information_schema.columns WHERE table_schema = 'public'
  UNION ALL SELECT format('constraint %s.%s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
  UNION ALL SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = 'public'`;

let migrated: TestDatabase;
let entities: EntityClass[];
beforeAll(async () => {
  migrated = await createTestDatabase();
  entities = await entitiesOfTheTree();
});
afterAll(() => migrated.close());

async function withEntities<T>(url: string, work: (source: DataSource) => Promise<T>): Promise<T> {
  const options = dataSourceOptions({ url, namedStatements: false, poolMax: 1, entities });
  const source = await new DataSource(options).initialize();
  try {
    return await work(source);
  } finally {
    await source.destroy();
  }
}

async function schemaOf(source: DataSource): Promise<string[]> {
  const rows = await source.query<{ line: string }[]>(SCHEMA_SQL);
  return rows
    .map(({ line }) => line)
    .filter((line) => !line.includes('schema_migration'))
    .sort();
}

describe('entities equal migrations', () => {
  it('so that the schema builder finds nothing to change', async () => {
    await withEntities(migrated.url, async (source) => {
      const { upQueries } = await source.driver.createSchemaBuilder().log();
      expect(upQueries.map(({ query }) => query)).toEqual([]);
    });
  });

  it('to the letter: columns, defaults, CHECKs, keys and partial indexes', async () => {
    const { url, drop } = await createEmptyDatabase();
    const fromEntities = await withEntities(url, async (source) => {
      await source.synchronize();
      return schemaOf(source);
    });
    await drop();
    expect(fromEntities).toEqual(await schemaOf(migrated.dataSource));
  });
});
