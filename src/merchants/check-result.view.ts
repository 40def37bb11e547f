/** One tried credential. */
export class CheckResultView {
  kind: string;
  result: 'ok' | 'wrong' | 'not_proven';
  wechat_code?: string;
  message: string;
}

/** What a check of a merchant's credentials came to. */
export class CheckResultsView {
  results: CheckResultView[];
}
