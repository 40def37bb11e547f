import { mkdtempSync } from 'node:fs';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CertificateAuthority } from './certificates.js';
import { createControlServer } from './control.js';
import { FaultPlan } from './faults.js';
import { settleAccepted } from './life.js';
import { keepKeysAt } from './rsa-keys.js';
import { createWechatServer } from './server.js';
import { World } from './world.js';

/** A running simulator. */
export interface Simulator {
  readonly port: number;
  readonly controlPort: number;
  /** The certificate that callers must trust: NODE_EXTRA_CA_CERTS. */
  readonly caPath: string;
  close(): Promise<void>;
}

const SETTLE_EVERY_MS = 50;

/**
 * Starts a simulated WeChat Pay. Ports 0 take free ones; without `directory` the certificate authority is a fresh one in a directory of
 * its own. The keys it makes are kept in `directory` too, for the next one. It keeps its ledger in memory.
 */
export async function startSimulator(options: {
  readonly port: number;
  readonly controlPort: number;
  readonly directory?: string | undefined;
  /** The name that other machines call it by; with it both ports listen to them, else to this machine only. */
  readonly host?: string | undefined;
}): Promise<Simulator> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'tuikuan-simulator-'));
  const world = new World(CertificateAuthority.in(directory));
  if (options.directory !== undefined) keepKeysAt(join(directory, 'keys.pem'));
  const faults = new FaultPlan();
  const server = createWechatServer(world, faults, options.host);
  const control = createControlServer(world, faults);
  const settling = setInterval(() => settleAccepted(world), SETTLE_EVERY_MS);
  settling.unref();
  const address = options.host === undefined ? '127.0.0.1' : '0.0.0.0';
  return {
    port: await listen(server, options.port, address),
    controlPort: await listen(control, options.controlPort, address),
    caPath: world.authority.caPath,
    close: async () => {
      clearInterval(settling);
      world.clock.stop();
      for (const running of [server, control]) {
        running.closeAllConnections();
        await new Promise((done) => running.close(done));
      }
    },
  };
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}
