import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { ENV_NAMES } from '../../src/config/env.js';

const ROOT = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly target: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
  readonly volumes: Readonly<Record<string, null>>;
}

const compose = parse(read('docker-compose.yml'), { merge: true }) as Compose;
const dockerfile = read('Dockerfile');
const services = Object.entries(compose.services);
/** The last stage of each name in the Dockerfile, from its FROM to the next. */
const stageOf = (target: string): string =>
  new RegExp(`^FROM \\S+ AS ${target}\\n([^]*?)(?=^FROM |$(?![^]))`, 'm').exec(dockerfile)?.[1] ?? '';
const commandOf = (stage: string): string[] => JSON.parse(/^CMD (\[.*\])$/m.exec(stage)?.[1] ?? '[]') as string[];
const SIMULATOR_NAMES = ['SIMULATOR_PORT', 'SIMULATOR_CONTROL_PORT', 'SIMULATOR_DIRECTORY', 'SIMULATOR_HOST'];

describe('docker-compose.yml', () => {
  it('has the service as api and as worker, PostgreSQL 17 and the simulator, each with a healthcheck', () => {
    const { api, worker, postgres, simulator } = compose.services;
    expect([api?.environment?.['ROLE'], worker?.environment?.['ROLE']]).toEqual(['api', 'worker']);
    expect(postgres?.image).toBe('postgres:17');
    for (const service of [api, worker, postgres, simulator]) expect(service?.healthcheck?.test[0]).toBe('CMD');
  });

  it('builds targets that the Dockerfile has, and runs files that they hold', () => {
    for (const [name, { build, command }] of services.filter(([, service]) => service.build)) {
      const stage = stageOf(build?.target ?? '');
      expect([name, stage.includes('CMD')]).toEqual([name, true]);
      const words = command ?? commandOf(stage);
      const [, file = ''] = words.filter((word) => !word.startsWith('--'));
      expect([name, existsSync(new URL(file.replace('dist/', 'src/').replace('.js', '.ts'), ROOT))]).toEqual([
        name,
        true,
      ]);
    }
    for (const [, paths = ''] of dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm))
      for (const path of paths.split(' ')) expect([path, existsSync(new URL(path, ROOT))]).toEqual([path, true]);
  });

  it('starts the service as npm start does', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: { start: string } };
    expect(commandOf(stageOf('service')).join(' ')).toBe(scripts.start);
  });

  it('sets only variables that the service, the simulator or PostgreSQL reads', () => {
    const known = new Set<string>([...ENV_NAMES, ...SIMULATOR_NAMES, 'NODE_EXTRA_CA_CERTS']);
    const main = read('src/simulator/main.ts');
    for (const name of SIMULATOR_NAMES) expect(main).toContain(name);
    for (const [, { environment = {} }] of services)
      for (const name of Object.keys(environment))
        expect([name, known.has(name) || name.startsWith('POSTGRES_')]).toEqual([name, true]);
  });

  it('mounts only secrets and volumes that it declares, and names them where they are mounted', () => {
    for (const [, { secrets = [], volumes = [], environment = {} }] of services) {
      for (const secret of secrets) expect(Object.keys(compose.secrets)).toContain(secret);
      for (const volume of volumes) expect(Object.keys(compose.volumes)).toContain(volume.split(':')[0]);
      for (const [, path] of Object.entries(environment).filter(([name]) => name.endsWith('_FILE')))
        expect(secrets.map((secret) => `/run/secrets/${secret}`)).toContain(path);
    }
    expect(read('.gitignore')).toContain('secrets/');
    expect(read('.dockerignore')).toContain('secrets');
  });

  it('publishes to this machine only, and every address inside is a service on a port that it listens on', () => {
    for (const [, { ports = [] }] of services)
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:(\d+):\1$/);
    const listens: Readonly<Record<string, string>> = { postgres: '5432', api: '3000', simulator: '8443' };
    const { environment = {} } = compose.services['api'] ?? {};
    const addresses = Object.values(environment).flatMap((value) => [...value.matchAll(/[/@]([a-z]+):(\d+)/g)]);
    expect(addresses.length).toBe(3);
    for (const [, host = '', port] of addresses) expect([host, port]).toEqual([host, listens[host]]);
    expect(compose.services['simulator']?.environment?.['SIMULATOR_HOST']).toBe('simulator');
  });

  it('waits for services that exist, by conditions that can come', () => {
    for (const [, { depends_on: needs = {} }] of services)
      for (const [other, { condition }] of Object.entries(needs)) {
        expect(Object.keys(compose.services)).toContain(other);
        if (condition === 'service_healthy') expect(compose.services[other]?.healthcheck).toBeDefined();
      }
  });
});
