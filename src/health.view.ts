/** Something that will stop work unless a person acts; the service is ready all the same. */
export class ReadyWarningView {
  /** `certificate_ended`, `certificate_ends_in_1_day`, `…_7_days`, `…_30_days`, the same of `api_key_`, or `merchant_paused`. */
  code: string;
  mch_id?: string;
}

/** What /health/ready answers with 200. It needs no key, so it names nothing but codes and merchant numbers. */
export class ReadyView {
  status: 'ok';
  role: string;
  /** Named when it is not WeChat itself. */
  wechatpay_host?: string;
  /** Our clock minus WeChat's, in seconds, by its last answer; v3 signatures fail at 300. */
  clock_skew_seconds?: number;
  warnings: ReadyWarningView[];
}

/** What /health/live answers. */
export class LiveView {
  status: 'ok';
}
