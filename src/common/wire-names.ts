/** The forms of WeChat's names and numbers, as its pages give them; every edge reads them from here. */

/** A merchant number. */
export const MCH_ID = /^[0-9]{8,32}$/;
/** A mini-program. */
export const APPID = /^[0-9A-Za-z_-]{1,32}$/;
/** The caller's number of an order. */
export const OUT_TRADE_NO = /^[0-9A-Za-z_\-|*]{6,32}$/;
/** The caller's number of a refund. */
export const OUT_REFUND_NO = /^[0-9A-Za-z_\-|*@]{1,64}$/;
/** WeChat's own numbers: transaction_id, refund_id. */
export const WECHAT_NUMBER = /^[0-9A-Za-z]{1,32}$/;
/** A payer under an appid. */
export const OPENID = /^[0-9A-Za-z_-]{1,128}$/;
