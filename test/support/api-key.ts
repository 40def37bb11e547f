/** The secret part of an API key's text. It may hold `_` itself, as any base64url. */
export function secretOf(key: string): string {
  const [, secret] = /^tk_[0-9a-f]{32}_(.{43})_[0-9a-f]{6}$/.exec(key) ?? [];
  if (secret === undefined) throw new Error('not an API key');
  return secret;
}
