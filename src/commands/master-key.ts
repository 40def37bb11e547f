import { record } from '../access/audit-log.js';
import { COMMAND_LINE } from '../access/caller.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { KeyRotation, type Rotation } from '../operations/key-rotation.js';
import { type Command, EXIT_CODES } from './command.js';
import { withService } from './service.js';

/** Brings everything under MASTER_KEY_ACTIVE and says which key may go. */
export const rotateMasterKey: Command = {
  options: {},
  run: async (_values, { environment, progress }) => {
    const rotation = await withService(environment, async (app) => {
      const done = await app
        .get(KeyRotation)
        .rotate(({ table, seen, resealed }) => progress(`${table}: ${seen} looked at, ${resealed} sealed anew`));
      const after = { tables: done.tables, in_use: done.inUse };
      const change = { action: 'master_key.rotate', object: done.active, before: null, after } as const;
      await app.get(UnitOfWork).run((tx) => record(tx, COMMAND_LINE, change));
      return done;
    });
    const left = Object.keys(rotation.inUse).length > 0 || rotation.unreadable.length > 0;
    return {
      exitCode: left ? EXIT_CODES.todo : EXIT_CODES.ok,
      lines: linesOf(rotation),
      json: {
        active: rotation.active,
        tables: rotation.tables,
        removable: rotation.removable,
        in_use: rotation.inUse,
        unreadable: rotation.unreadable,
      },
    };
  },
};

function linesOf({ active, tables, removable, inUse, unreadable }: Rotation): string[] {
  return [
    ...tables.map(({ table, seen, resealed }) => `${table.padEnd(15)} ${seen} looked at, ${resealed} sealed anew`),
    ...unreadable.map((place) => `does not open under the key that its kid names, left as it is: ${place}`),
    ...Object.entries(inUse).map(
      ([kid, count]) =>
        `${kid} still seals ${count}: keep it in MASTER_KEYS, let every instance run with MASTER_KEY_ACTIVE=${active}, then run this again`,
    ),
    removable.length > 0
      ? `may be removed from MASTER_KEYS: ${removable.join(', ')} (keep it with backups made before now)`
      : 'no key of MASTER_KEYS may be removed',
  ];
}
