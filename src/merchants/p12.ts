import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';

/** The certificate and key of a .p12 file, as PEM. */
export interface P12Content {
  readonly certificates: readonly string[];
  readonly keys: readonly string[];
}

export const P12_BYTES_MAX = 100_000;
const ITERATIONS_MAX = 100_000;
const TIME_LIMIT_MS = 2000;

/**
 * Runs apart from the main thread: key derivation blocks, and a hostile file may ask for any number of rounds. Node's own reader
 * refuses the old RC2 and 3DES files that WeChat hands out; node-forge reads old and new.
 */
const WORKER_SOURCE = `
  const { parentPort, workerData } = require('node:worker_threads');
  const forge = require(workerData.forge);
  try {
    const tree = forge.asn1.fromDer(forge.util.createBuffer(Buffer.from(workerData.p12).toString('latin1')));
    const rounds = tree.value[2] && tree.value[2].value[2];
    if (rounds && rounds.value.length > 4) throw new Error('too many iterations');
    if (rounds && forge.asn1.derToInteger(rounds.value) > ${ITERATIONS_MAX}) throw new Error('too many iterations');
    const p12 = forge.pkcs12.pkcs12FromAsn1(tree, true, workerData.password);
    const bags = (type) => p12.getBags({ bagType: type })[type] || [];
    const { certBag, keyBag, pkcs8ShroudedKeyBag } = forge.pki.oids;
    parentPort.postMessage({
      certificates: bags(certBag).filter((bag) => bag.cert).map((bag) => forge.pki.certificateToPem(bag.cert)),
      keys: [...bags(keyBag), ...bags(pkcs8ShroudedKeyBag)].map((bag) => forge.pki.privateKeyToPem(bag.key)),
    });
  } catch (error) {
    parentPort.postMessage({ reason: /password|MAC/i.test(error.message) ? 'wrong password'
      : /iterations/.test(error.message) ? error.message : 'not a readable PKCS#12 file' });
  }`;

/** Opens a .p12 within 2 seconds; rejects with a reason that is safe to show. */
export async function openP12(p12: Buffer, password: string): Promise<P12Content> {
  if (p12.length > P12_BYTES_MAX) throw new Error(`larger than ${P12_BYTES_MAX} bytes`);
  const forge = createRequire(import.meta.url).resolve('node-forge');
  const worker = new Worker(WORKER_SOURCE, { eval: true, workerData: { forge, p12, password } });
  const outcome = await new Promise<P12Content | { reason: string }>((resolve) => {
    const timer = setTimeout(() => resolve({ reason: 'takes too long to open' }), TIME_LIMIT_MS);
    timer.unref();
    worker.once('message', resolve);
    worker.once('error', () => resolve({ reason: 'not a readable PKCS#12 file' }));
  });
  await worker.terminate();
  if ('reason' in outcome) throw new Error(outcome.reason);
  return outcome;
}
