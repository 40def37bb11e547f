import { yuanText } from '../common/fen.js';
import type { RefundView } from './refund.view.js';

/** The columns of an export. Amounts are yuan with two decimals, times RFC 3339 in UTC. */
const COLUMNS: Readonly<Record<string, (refund: RefundView) => string | null>> = {
  id: ({ id }) => id,
  created_at: ({ created_at: at }) => at,
  status: ({ status }) => status,
  state: ({ state }) => state,
  amount_yuan: ({ amount }) => yuanText(amount),
  out_refund_no: ({ out_refund_no: number }) => textCell(number),
  refund_id: ({ refund_id: id }) => textCell(id),
  out_trade_no: ({ out_trade_no: number }) => textCell(number),
  transaction_id: ({ transaction_id: id }) => textCell(id),
  mch_id: ({ mch_id: id }) => textCell(id),
  appid: ({ appid }) => textCell(appid),
  order: ({ order }) => order,
  reason: ({ reason }) => textCell(reason),
  failure_code: ({ failure }) => failure?.code ?? null,
  failure_what: ({ failure }) => textCell(failure?.what ?? null),
  user_received_account: ({ user_received_account: account }) => textCell(account),
  succeeded_at: ({ succeeded_at: at }) => at,
  source: ({ source }) => source,
  created_by: ({ created_by: by }) => by,
  note: ({ note }) => textCell(note),
};

/** Excel takes a file without it for one of the local code page. */
const BYTE_ORDER_MARK = '\ufeff';
/** What makes a spreadsheet run a text as a formula, in Western and full width. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
/** More digits than a spreadsheet's number keeps. */
const LONG_NUMBER = /^[0-9]{12,}$/;

export const CSV_HEAD = `${BYTE_ORDER_MARK}${Object.keys(COLUMNS).join(',')}\r\n`;

/** Lines of RFC 4180, each ended. */
export function csvLines(refunds: readonly RefundView[]): string {
  return refunds
    .map(
      (refund) =>
        `${Object.values(COLUMNS)
          .map((cell) => quoted(cell(refund) ?? ''))
          .join(',')}\r\n`,
    )
    .join('');
}

/** A text that came from outside: what a spreadsheet would calculate, or round as a number, begins with an apostrophe. */
function textCell(text: string | null): string | null {
  return text !== null && (FORMULA.test(text) || LONG_NUMBER.test(text)) ? `'${text}` : text;
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
