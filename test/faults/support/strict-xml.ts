import { SaxesParser } from 'saxes';

/**
 * A flat message as a second, strict parser reads it: names and values in their order. Throws when it is no XML, or not flat. It knows
 * nothing of our reader; sizes and names are not its concern.
 */
export function readStrictly(bytes: Buffer): [string, string][] {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  const parser = new SaxesParser();
  const fields: [string, string][] = [];
  let depth = 0;
  let value = '';
  const add = (more: string): void => {
    if (depth === 2) value += more;
    else if (depth === 1 && /[^ \t\r\n]/.test(more)) throw new Error('text between the elements');
  };
  const refuse = (): never => {
    throw new Error('not flat');
  };
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('doctype', refuse);
  parser.on('processinginstruction', refuse);
  parser.on('comment', refuse);
  parser.on('opentag', ({ attributes }) => {
    depth += 1;
    value = '';
    if (depth > 2 || Object.keys(attributes).length > 0) refuse();
  });
  parser.on('text', add);
  parser.on('cdata', add);
  parser.on('closetag', ({ name }) => {
    if (depth === 2) fields.push([name, value]);
    depth -= 1;
  });
  parser.write(text).close();
  return fields;
}
