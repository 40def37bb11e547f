import { readXml, XmlUnreadable } from '../../src/wechat-pay/v2/xml.js';
import { openReqInfo } from '../../src/wechat-pay/v2/req-info.js';
import { Steady, withinBudget } from './support/budget.js';
import { assertFired, Dice, SEED, sizeOf, summary } from './support/campaign.js';
import { simulatedNotices } from './support/simulated-notices.js';
import { readStrictly } from './support/strict-xml.js';
import { hostileDocument } from './support/xml-documents.js';

const DOCUMENTS = sizeOf({ ci: 50_000, long: 2_000_000 });
const BATCH = 5000;

/** Genuine messages of the simulated WeChat: notices outside and inside, and the payment notice. */
function genuineMessages(): { readonly bytes: Buffer; readonly root: 'xml' | 'root' }[] {
  const { refunds, payments, key } = simulatedNotices(5);
  return [...refunds, ...payments].flatMap((body) => {
    const bytes = Buffer.from(body);
    const sealed = readXml(bytes, { root: 'xml' }).get('req_info');
    const inner = sealed === undefined ? [] : [{ bytes: openReqInfo(sealed, key), root: 'root' as const }];
    return [{ bytes, root: 'xml' as const }, ...inner];
  });
}

/** What our reader makes of a document; null when it refuses it in its own words. */
function read(bytes: Buffer, root: 'xml' | 'root'): [string, string][] | null {
  try {
    return [...readXml(bytes, { root })];
  } catch (error) {
    if (error instanceof XmlUnreadable) return null;
    throw error;
  }
}

describe('a hostile document', () => {
  const genuine = genuineMessages();

  it('is read as the strict parser reads it, or refused, as every genuine one is read', () => {
    for (const { bytes, root } of genuine) expect(read(bytes, root)).toEqual(readStrictly(bytes));
  });

  it(`is read as the strict parser reads it, or refused: ${DOCUMENTS} of them`, () => {
    process.stdout.write(`SEED=${SEED}\n`);
    const dice = new Dice(SEED);
    const corpus = genuine.map(({ bytes }) => bytes);
    const steady = new Steady();
    const counts = { accepted: 0, refused: 0 };
    for (let made = 0; made < DOCUMENTS; made += 1) {
      const bytes = hostileDocument(dice, corpus);
      const root = dice.once(3) ? 'root' : 'xml';
      const shown = (): string => `document ${made} (seed ${SEED}): ${JSON.stringify(bytes.toString('latin1'))}`;
      const ours = withinBudget(shown, () => read(bytes, root));
      counts[ours === null ? 'refused' : 'accepted'] += 1;
      if (ours !== null) assertSame(ours, bytes, shown);
      if (made % BATCH === 0) steady.assertInherited();
      if (made === BATCH) steady.begin();
    }
    steady.assertInherited();
    assertFired(counts, DOCUMENTS / 100);
    summary('XML documents', { documents: DOCUMENTS, ...counts, 'MB grown': steady.assertMemory() });
  }, 1_200_000);

  /** jest's own comparison would cost more than both parsers. */
  function assertSame(ours: [string, string][], bytes: Buffer, shown: () => string): void {
    let strict: [string, string][] | string;
    try {
      strict = readStrictly(bytes);
    } catch (error) {
      strict = String(error);
    }
    if (JSON.stringify(ours) !== JSON.stringify(strict))
      throw new Error(`${JSON.stringify(ours)} is not ${JSON.stringify(strict)} in ${shown()}`);
  }

  it('is a genuine one cut off at any byte, and refused', () => {
    for (const { bytes, root } of genuine)
      for (let length = 0; length < bytes.length; length += 1) expect(read(bytes.subarray(0, length), root)).toBeNull();
  });
});
