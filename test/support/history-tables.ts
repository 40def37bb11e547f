/** The tables whose old rows go to the archive; written down here too, so that one forgotten by the command is missed. */
export const HISTORY_TABLES = [
  'refund_event',
  'gateway_call',
  'notification',
  'outgoing_event',
  'webhook_delivery',
  'webhook_attempt',
] as const;
