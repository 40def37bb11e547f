import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';

const ROOT = new URL('../../', import.meta.url).pathname;
const SECRETS = [1, 2].map((fill) => `whsec_${Buffer.alloc(32, fill).toString('base64')}`);

/** The example receiver of README.md, as a reader would copy it. */
function example(): string {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8');
  return /<!-- receiver:.*-->\n```ts\n([^]*?)```/.exec(text)?.[1] ?? '';
}

let directory: string;
let receiver: ChildProcess;
let url = '';
let output = '';
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tuikuan-receiver-'));
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  writeFileSync(join(directory, 'receiver.ts'), example());
  const { outputText } = transpileModule(example(), {
    compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 },
  });
  writeFileSync(join(directory, 'receiver.js'), outputText);
  receiver = spawn(process.execPath, ['receiver.js'], {
    cwd: directory,
    env: { PORT: '0', WEBHOOK_SECRETS: SECRETS.join(',') },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await new Promise<string>((resolve) => {
    receiver.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const [, found] = /port: (\d+)/.exec(output) ?? [];
      if (found !== undefined) resolve(found);
    });
  });
  url = `http://127.0.0.1:${port}/`;
});
afterAll(() => {
  receiver.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

const nextOutput = (): Promise<unknown> => new Promise((resolve) => receiver.stdout?.once('data', resolve));

async function send(event: object, secret = SECRETS[0] ?? '', at = new Date()): Promise<number> {
  const body = JSON.stringify(event);
  const headers = {
    'webhook-id': 'evt_1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign('evt_1', at, body),
  };
  return (await fetch(url, { method: 'POST', headers, body })).status;
}

const refund = (number: string, status: string, sequence: number): object => ({
  id: 'evt_1',
  sequence,
  data: { object: { object: 'refund', id: number, out_refund_no: number, status, amount: 1, failure: null } },
});

describe('the receiver of README.md', () => {
  it('is valid TypeScript under strict rules', () => {
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const options = '--noEmit --strict --noImplicitReturns --target es2022 --module nodenext --types node'.split(' ');
    execFileSync(process.execPath, [tsc, ...options, 'receiver.ts'], { cwd: directory });
  });

  it('takes what is signed with either secret, and nothing else', async () => {
    for (const secret of SECRETS) expect(await send(refund('R-0', 'pending', 1), secret)).toBe(204);
    expect(await send(refund('R-0', 'pending', 1), `whsec_${Buffer.alloc(32, 3).toString('base64')}`)).toBe(401);
    expect(await send(refund('R-0', 'pending', 1), SECRETS[0], new Date(Date.now() - 400_000))).toBe(401);
    expect((await fetch(url, { method: 'POST', body: '{}' })).status).toBe(401);
  });

  it.each([
    ['pending', 'is on its way'],
    ['processing', 'is on its way'],
    ['requires_action', 'needs a person'],
    ['succeeded', 'is with the payer'],
    ['failed', 'gives nothing back'],
    ['canceled', 'gives nothing back'],
  ])('handles %s', async (status, words) => {
    expect(await send(refund(`R-${status}`, status, 1))).toBe(204);
    while (!output.includes(`R-${status} `)) await nextOutput();
    expect(output).toContain(`R-${status} ${words}`);
  });

  it('keeps what it knows when an older event comes again', async () => {
    expect(await send(refund('R-9', 'succeeded', 3))).toBe(204);
    expect(await send(refund('R-9', 'processing', 2))).toBe(204);
    // What it wrote about the older one would stand before this.
    expect(await send(refund('R-10', 'pending', 1))).toBe(204);
    while (!output.includes('R-10 ')) await nextOutput();
    expect(output).not.toContain('R-9 is on its way');
  });
});
