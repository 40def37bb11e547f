import { Stack } from './support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack.close());

it('a certificate near its end and a paused merchant are told by readiness, metrics and one incident; the service stays ready', async () => {
  const { mchId } = await stack.merchant({ simulator: { valid_days: 5 } });
  const paused = await stack.merchant();
  await stack.database.query(
    `UPDATE merchant_rate SET paused_at = tuikuan_now(), pause_reason = 'configuration',
       next_probe_at = tuikuan_now() + interval '1 hour' WHERE mch_id = $1`,
    [paused.mchId],
  );
  const instances = await Promise.all([stack.addInstance(), stack.addInstance()]);
  const answer = await fetch(`${instances[0].url}/health/ready`);
  expect(answer.status).toBe(200);
  const body = (await answer.json()) as { warnings: object[] };
  // Nothing but codes and merchant numbers: whoever reaches the port may read this.
  expect(body.warnings).toEqual([
    { code: 'certificate_ends_in_7_days', mch_id: mchId },
    { code: 'merchant_paused', mch_id: paused.mchId },
  ]);
  const metrics = await fetch(`${instances[1].url}/metrics`, {
    headers: { authorization: `Bearer ${stack.adminKey}` },
  });
  const text = await metrics.text();
  expect(text).toContain(`tuikuan_warnings{code="certificate_ends_in_7_days",mch_id="${mchId}"} 1`);
  expect(text).toContain(`tuikuan_warnings{code="merchant_paused",mch_id="${paused.mchId}"} 1`);
  const incidents = (): Promise<string[]> =>
    Promise.resolve(
      stack.instances.flatMap(({ log }) => log.split('\n')).filter((line) => line.includes('certificate_ends_in')),
    );
  expect(await stack.eventually(incidents, (lines) => lines.length > 0)).toHaveLength(1);
});
