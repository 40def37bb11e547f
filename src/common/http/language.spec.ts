import { languageOf } from './language.js';

describe('the language of an answer', () => {
  it.each([
    ['no header', undefined, 'en'],
    ['an empty header', '', 'en'],
    ['Chinese', 'zh', 'zh'],
    ['Chinese of a place', 'zh-CN', 'zh'],
    ['Chinese in traditional letters', 'zh-Hant-TW', 'zh'],
    ['upper case', 'ZH-cn', 'zh'],
    ['what a Chinese browser sends', 'zh-CN,zh;q=0.9,en;q=0.8', 'zh'],
    ['what an English browser sends', 'en-US,en;q=0.9,zh;q=0.5', 'en'],
    ['Chinese named last but preferred', 'en;q=0.4, zh;q=0.8', 'zh'],
    ['Chinese refused', 'zh;q=0', 'en'],
    ['another language before Chinese', 'fr, zh;q=0.5', 'zh'],
    ['only another language', 'fr', 'en'],
    ['a word that begins like Chinese', 'zhx', 'en'],
    ['nonsense', ';;q=,=', 'en'],
  ])('by %s is as it should be', (_, header, language) => {
    expect(languageOf(header)).toBe(language);
  });
});
