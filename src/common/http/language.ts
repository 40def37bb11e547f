import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** The languages that texts for people come in. */
export const LANGUAGES = ['en', 'zh'] as const;
export type Language = (typeof LANGUAGES)[number];

/** One text in every language. */
export type Text = Readonly<Record<Language, string>>;

/** A text from its two forms. */
export function say(en: string, zh: string): Text {
  return { en, zh };
}

const TAGS: Readonly<Record<Language, string>> = { en: 'en', zh: 'zh-CN' };

/** Chinese when Accept-Language prefers any zh over English, else English. Weights are obeyed; `*` and other languages are not heard. */
export function languageOf(header: string | undefined): Language {
  if (header === undefined) return 'en';
  const wishes = header.split(',').map((part) => {
    const [tag = '', weight = ''] = part.trim().toLowerCase().split(';');
    const q = Number(/^\s*q=([01](?:\.[0-9]{1,3})?)\s*$/.exec(weight)?.[1] ?? 1);
    return { language: LANGUAGES.find((language) => tag === language || tag.startsWith(`${language}-`)), q };
  });
  const [first] = wishes.filter(({ language, q }) => language !== undefined && q > 0).sort((a, b) => b.q - a.q);
  return first?.language ?? 'en';
}

/** The language of the answer, by Accept-Language; the answer says it in Content-Language. */
export const AnswerLanguage = createParamDecorator((_: unknown, context: ExecutionContext): Language => {
  const http = context.switchToHttp();
  const language = languageOf(http.getRequest<FastifyRequest>().headers['accept-language']);
  void http.getResponse<FastifyReply>().header('content-language', TAGS[language]);
  return language;
});
