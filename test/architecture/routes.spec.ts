import 'reflect-metadata';
import { readdirSync } from 'node:fs';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { ROUTE_ACCESS } from '../../src/access/access.decorators.js';

type Handler = (...parameters: never) => unknown;
const SOURCE = new URL('../../src/', import.meta.url).pathname;

/** `Controller.method` of every route in src, with what it declares. */
async function routes(): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>();
  const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('controller.ts'),
  );
  for (const file of files) {
    const exported = (await import(`${SOURCE}${file}`)) as Record<string, unknown>;
    for (const [name, type] of Object.entries(exported)) {
      if (typeof type !== 'function' || !Reflect.hasMetadata(PATH_METADATA, type)) continue;
      const prototype = type.prototype as Record<string, Handler>;
      for (const method of Object.getOwnPropertyNames(prototype)) {
        const handler = prototype[method] as Handler;
        if (!Reflect.hasMetadata(METHOD_METADATA, handler)) continue;
        found.set(`${name}.${method}`, Reflect.getMetadata(ROUTE_ACCESS, handler));
      }
    }
  }
  return found;
}

describe('the routes', () => {
  it('all declare who may call them', async () => {
    const declared = await routes();
    expect(declared.size).toBeGreaterThan(30);
    expect([...declared].filter(([, access]) => access === undefined)).toEqual([]);
  });

  it('open to everyone are the callback and the health of the process', async () => {
    const open = [...(await routes())].filter(([, access]) => (access as { kind: string }).kind === 'public');
    expect(open.map(([route]) => route).sort()).toEqual([
      'HealthController.live',
      'HealthController.ready',
      'NotifyController.receive',
    ]);
  });
});
