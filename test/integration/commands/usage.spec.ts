import { runCommand } from '../../../src/commands/run.js';

describe('wrong usage', () => {
  it.each([
    [[]],
    [['refund']],
    [['constructor']],
    [['migrate', 'up', 'down']],
    [['doctor', '--fast']],
    [['doctor', 'now']],
    [['api-key', 'create', '--name', 'x', '--role', 'owner']],
    [['api-key', 'create', '--role', 'viewer']],
    [['notification', 'reprocess']],
    [['notification', 'reprocess', '--all', '--kind', 'refund']],
    [['notification', 'reprocess', '--result', 'lost']],
  ])('of %j is exit code 2 with the usage, and touches nothing', async (words) => {
    const answers: string[] = [];
    const asides: string[] = [];
    const output = { answer: (text: string) => answers.push(text), aside: (text: string) => asides.push(text) };
    // Without any setting: a command that got as far as reading them would say so.
    expect(await runCommand(words, {}, output)).toBe(2);
    expect(answers).toEqual([]);
    expect(asides.join('\n')).toContain('usage: tuikuan <command>');
  });
});
