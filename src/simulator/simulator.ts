import { mkdtempSync } from 'node:fs';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CertificateAuthority } from './certificates.js';
import { createControlServer } from './control.js';
import { FaultPlan } from './faults.js';
import { settleAccepted } from './life.js';
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
 * its own. It keeps its ledger in memory.
 */
export async function startSimulator(options: {
  readonly port: number;
  readonly controlPort: number;
  readonly directory?: string | undefined;
}): Promise<Simulator> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'tuikuan-simulator-'));
  const world = new World(CertificateAuthority.in(directory));
  const faults = new FaultPlan();
  const server = createWechatServer(world, faults);
  const control = createControlServer(world, faults);
  const settling = setInterval(() => settleAccepted(world), SETTLE_EVERY_MS);
  settling.unref();
  return {
    port: await listen(server, options.port, '127.0.0.1'),
    controlPort: await listen(control, options.controlPort, '127.0.0.1'),
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
