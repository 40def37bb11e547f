import { LANGUAGES, type Language } from '../../src/common/http/language.js';
import { type Explanation, FAILURES, WHO } from '../../src/refunds/failures.js';
import { WAITING } from '../../src/refunds/waiting.js';
import { QUERY_CODES, SEND_CODES } from '../../src/refunds/wechat-codes.js';

const WORDS: Readonly<Record<Language, readonly [summary: string, head: string, query: string]>> = {
  en: ['Every failure, state and code of WeChat, in English', 'code | what happened, and why | next | who', 'query'],
  zh: ['全部失败原因、等待状态和微信错误码（中文）', '代码 | 发生了什么，为什么 | 下一步 | 谁处理', '查询'],
};

/** README's section about failures: one folded table per language; codes that mean the same share a line. */
export function failuresSection(): string {
  return LANGUAGES.map((language) => {
    const [summary, head] = WORDS[language];
    return [`<details><summary>${summary}</summary>`, '', `| ${head} |`, '|---|---|---|---|', ...rows(language)]
      .concat('', '</details>')
      .join('\n');
  }).join('\n\n');
}

function rows(language: Language): string[] {
  const lines = new Map<string, string[]>();
  for (const [code, { what, why, next, who }] of explanations(WORDS[language][2])) {
    const line = `${what[language]} ${why[language]} | ${next[language]} | ${WHO[who][language]}`;
    const sharing = lines.get(line) ?? [];
    lines.set(line, sharing.includes(code) ? sharing : [...sharing, code]);
  }
  return [...lines].map(([line, codes]) => `| ${codes.join(', ')} | ${line} |`);
}

function explanations(query: string): (readonly [string, Explanation])[] {
  const tables: Readonly<Record<string, Readonly<Record<string, Explanation | null>>>> = {
    '': { ...WAITING, ...FAILURES },
    ' (V2)': SEND_CODES.v2,
    ' (v3)': SEND_CODES.v3,
    [` (${query})`]: QUERY_CODES,
  };
  return Object.entries(tables).flatMap(([mark, table]) =>
    Object.entries(table).flatMap(([code, explanation]) =>
      explanation === null ? [] : [[`\`${code}\`${mark}`, explanation] as const],
    ),
  );
}
